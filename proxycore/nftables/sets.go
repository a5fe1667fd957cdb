package nftables

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// datatype is a type of nft's: its number (nftables include/datatype.h, enum datatypes) and its width in bytes.
type datatype struct {
	number uint32
	bytes  int
}

var (
	address     = datatype{}      // ipv4_addr or ipv6_addr, by the family
	ipv4Addr    = datatype{7, 4}  // ipv4_addr
	ipv6Addr    = datatype{8, 16} // ipv6_addr
	inetProto   = datatype{12, 1} // inet_proto
	inetService = datatype{13, 2} // inet_service
	slot        = datatype{19, 4} // mark: what nft has that is 32 bits wide and printed as a number
	chainNumber = datatype{23, 4} // classid: the type of meta priority, through which the number travels
	endpointID  = chainNumber     // it travels likewise
	verdictType = datatype{unix.NFT_DATA_VERDICT, 16}
)

type setID uint8

// The sets of a table, in the order in which nft lists them. Those in which a front has a number come first.
const (
	services   setID = iota // front → number of a chain
	allowed                 // front with source ranges → number of the chain for who is in them
	internal                // front of a Local policy → number of the chain for pods and this node
	external                // … and for everybody else
	picks                   // sticky front → number of the chain that picks an endpoint for a new client
	localPicks              // … from the local ones
	byService               // number in services → goto chain
	byAllowed               // number in allowed → goto chain
	byLocal                 // number in internal or external → goto chain
	byPick                  // number in picks or local-picks → jump chain
	endpoints               // front . slot → address . port
	ids                     // sticky front . slot → id of the endpoint
	live                    // sticky front . id → address . port
	localLive               // … of the local ones
	affinity                // client . front → id; written by packets, and forgotten by the kernel when its time is over
	masqAll                 // fronts whose packets are all masqueraded
	masqNode                // fronts whose packets are masqueraded when they come from this node
	ranges                  // front . source: who may call a front that not everybody may; see admit for its price
	clusterIPs              // addresses of ClusterIPs: ports nobody serves are refused, and what comes from outside is masqueraded
	cidrs                   // where ClusterIPs are given out from: what no Service has is dropped
	pods                    // sources that are pods
	hairpin                 // address . address: an endpoint that reaches itself
	numSets
)

// numNumbers is how many sets have numbers of fronts.
const numNumbers = localPicks + 1

// verdicts are the maps from numbers to chains.
func (id setID) verdicts() bool { return byService <= id && id <= byPick }

// setSpec declares a set. The big maps declare a size: that makes the kernel take the hash of fixed size, which is
// filled 2.4 times faster (flat-layout.md, Q7).
type setSpec struct {
	name      string
	key, data []datatype
	flags     uint32
	room      int // the size to declare at least; 0: none
}

const (
	setConcat     = 0x80 // NFT_SET_CONCAT
	setDescConcat = 2    // NFTA_SET_DESC_CONCAT
)

var (
	frontKey   = []datatype{address, inetProto, inetService}
	slotKey    = []datatype{address, inetProto, inetService, slot}
	idKey      = []datatype{address, inetProto, inetService, endpointID}
	targetData = []datatype{address, inetService}
	numberData = []datatype{chainNumber}
	chainData  = []datatype{verdictType}
)

const concatMap = unix.NFT_SET_MAP | setConcat

var sets = [numSets]setSpec{
	services:   {"services", frontKey, numberData, concatMap, 1024},
	allowed:    {"allowed", frontKey, numberData, concatMap, 1024},
	internal:   {"internal", frontKey, numberData, concatMap, 1024},
	external:   {"external", frontKey, numberData, concatMap, 1024},
	picks:      {"picks", frontKey, numberData, concatMap, 1024},
	localPicks: {"local-picks", frontKey, numberData, concatMap, 1024},
	byService:  {"by-service", numberData, chainData, unix.NFT_SET_MAP, 0},
	byAllowed:  {"by-allowed", numberData, chainData, unix.NFT_SET_MAP, 0},
	byLocal:    {"by-local", numberData, chainData, unix.NFT_SET_MAP, 0},
	byPick:     {"by-pick", numberData, chainData, unix.NFT_SET_MAP, 0},
	endpoints:  {"endpoints", slotKey, targetData, concatMap, 8192},
	ids:        {"ids", slotKey, []datatype{endpointID}, concatMap, 8192},
	live:       {"live", idKey, targetData, concatMap, 8192},
	localLive:  {"local-live", idKey, targetData, concatMap, 1024},
	affinity:   {"affinity", []datatype{address, address, inetProto, inetService}, []datatype{endpointID}, concatMap | unix.NFT_SET_TIMEOUT | unix.NFT_SET_EVAL, 65536},
	masqAll:    {"masq-all", frontKey, nil, setConcat, 1024},
	masqNode:   {"masq-node", frontKey, nil, setConcat, 1024},
	ranges:     {"source-ranges", []datatype{address, inetProto, inetService, address}, nil, setConcat | unix.NFT_SET_INTERVAL, 0},
	clusterIPs: {"cluster-ips", []datatype{address}, nil, 0, 1024},
	cidrs:      {"service-cidrs", []datatype{address}, nil, unix.NFT_SET_INTERVAL, 0},
	pods:       {"pods", []datatype{address}, nil, unix.NFT_SET_INTERVAL, 0},
	hairpin:    {"hairpin", []datatype{address, address}, nil, setConcat, 1024},
}

// measure gives nft's number for a concatenation (6 bits a part) and its width (each part padded to 4 bytes).
func (f *family) measure(parts []datatype) (number uint32, bytes int) {
	for _, p := range parts {
		if p == address {
			p = f.addr
		}
		number = number<<6 | p.number
		bytes += align(p.bytes)
	}
	return number, bytes
}

func (s *setSpec) keyLen(f *family) int {
	_, n := f.measure(s.key)
	return n
}

func (s *setSpec) dataLen(f *family) int {
	_, n := f.measure(s.data)
	return n
}

// declare writes the body of NFT_MSG_NEWSET. Declared again with a larger size, a set has room for more elements, but
// it behaves as if its buckets stayed as they were: grown from 8,192 to 300,000 endpoints, a change costs 67 µs instead
// of about 20, and the sync that grows it 1.2 to 2 times one that declares the size at first (kernel 6.18). Only a new
// table helps.
func (s *setSpec) declare(w *buffer, f *family, table string, id setID, size int) {
	number, bytes := f.measure(s.key)
	w.str(unix.NFTA_SET_TABLE, table)
	w.str(unix.NFTA_SET_NAME, s.name)
	w.u32(unix.NFTA_SET_FLAGS, s.flags)
	w.u32(unix.NFTA_SET_KEY_TYPE, number)
	w.u32(unix.NFTA_SET_KEY_LEN, uint32(bytes))
	w.u32(unix.NFTA_SET_ID, uint32(id)+1)
	if s.data != nil {
		number, bytes = f.measure(s.data)
		w.u32(unix.NFTA_SET_DATA_TYPE, number)
		w.u32(unix.NFTA_SET_DATA_LEN, uint32(bytes))
	}
	desc := w.nest(unix.NFTA_SET_DESC)
	if size > 0 {
		w.u32(unix.NFTA_SET_DESC_SIZE, uint32(size))
	}
	if s.flags&setConcat != 0 { // without the lengths of the parts nft crashes when it lists the set
		parts := w.nest(setDescConcat)
		for _, p := range s.key {
			if p == address {
				p = f.addr
			}
			one := w.nest(unix.NFTA_LIST_ELEM)
			w.u32(unix.NFTA_SET_DESC_SIZE, uint32(p.bytes))
			w.end(one)
		}
		w.end(parts)
	}
	w.end(desc)
	w.bytes(unix.NFTA_SET_USERDATA, s.userdata())
}

// userdata tells nft the byte order of what it prints (libnftnl include/libnftnl/udata.h: NFTNL_UDATA_SET_KEYBYTEORDER,
// NFTNL_UDATA_SET_DATABYTEORDER; 1 is the machine's, 2 the network's).
func (s *setSpec) userdata() []byte {
	order := func(typ byte, parts []datatype) (b []byte) {
		v := uint32(2)
		if len(parts) == 1 && parts[0] == chainNumber {
			v = 1
		}
		return binary.NativeEndian.AppendUint32([]byte{typ, 4}, v)
	}
	b := order(0, s.key)
	if s.data != nil {
		b = append(b, order(1, s.data)...)
	}
	return b
}
