package rulesync

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// rules counts what a proxy has written into its node's kernel: rules, and elements of sets and maps. ip_tables has no sets, and
// counts the ends of its chains as rules.
func (s *site) rules() (rules, elements int, err error) {
	if s.commits.legacy {
		for _, table := range []string{"nat", "filter", "mangle"} {
			i, err := tableInfo(s.commits.fd, table)
			if err != nil {
				return 0, 0, err
			}
			rules += int(i.entries)
		}
		return rules, 0, nil
	}
	return countRules(s.rig.Node())
}

// countRules reads all of nf_tables in a namespace.
func countRules(ns *nsnet.NS) (rules, elements int, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns.FD()})
	if err != nil {
		return 0, 0, fmt.Errorf("open an nftables socket: %w", err)
	}
	defer conn.Close()
	_ = conn.SetReadBuffer(8 << 20) // best effort
	dump := func(message uint16, family byte, attributes []byte, each func(data []byte)) error {
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return err
		}
		_, err := conn.Send(netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | message), Flags: netlink.Request | netlink.Dump},
			Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attributes...),
		})
		if err != nil {
			return fmt.Errorf("count rules: %w", err)
		}
		for m, err := range conn.ReceiveIter() { // one by one: half a million rules would be gigabytes
			if err != nil {
				return fmt.Errorf("count rules: %w", err)
			}
			each(m.Data)
		}
		return nil
	}
	if err := dump(unix.NFT_MSG_GETRULE, unix.NFPROTO_UNSPEC, nil, func([]byte) { rules++ }); err != nil {
		return 0, 0, err
	}
	var sets [][]byte
	if err := dump(unix.NFT_MSG_GETSET, unix.NFPROTO_UNSPEC, nil, func(data []byte) { sets = append(sets, slices.Clone(data)) }); err != nil {
		return 0, 0, err
	}
	for _, set := range sets {
		of := attributes(set[4:])
		if b := of[setCount]; len(b) == 4 {
			elements += int(binary.BigEndian.Uint32(b))
			continue
		}
		ask := netlink.NewAttributeEncoder()
		ask.Bytes(unix.NFTA_SET_ELEM_LIST_TABLE, of[unix.NFTA_SET_TABLE])
		ask.Bytes(unix.NFTA_SET_ELEM_LIST_SET, of[unix.NFTA_SET_NAME])
		b, err := ask.Encode()
		if err != nil {
			return 0, 0, err
		}
		err = dump(unix.NFT_MSG_GETSETELEM, set[0], b, func(data []byte) {
			elements += members(attributes(data[4:])[unix.NFTA_SET_ELEM_LIST_ELEMENTS])
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return rules, elements, nil
}

// setCount is NFTA_SET_COUNT, which newer kernels have; to read a large set whole takes the square of its size.
const setCount = 20

const nested = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER

func attributes(b []byte) map[int][]byte {
	out := map[int][]byte{}
	each(b, func(typ int, value []byte) { out[typ] = value })
	return out
}

func members(b []byte) (n int) {
	each(b, func(int, []byte) { n++ })
	return n
}

func each(b []byte, f func(typ int, value []byte)) {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return
		}
		f(int(binary.NativeEndian.Uint16(b[2:]))&nested, b[4:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}
