package rulesync

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// commits sees when a node's kernel takes new rules, by looking again and again. nf_tables has a number that is another one from
// the moment on that packets follow a transaction (NFT_MSG_GETGEN; nf_tables_commit in net/netfilter/nf_tables_api.c). It also
// announces transactions; but whoever listens makes the kernel write a message about every element of every set, and tells
// of the transaction when all that is done.
//
// The older ip_tables only says how many rules there are (IPT_SO_GET_INFO): there a commit that leaves the number cannot be
// seen. It is asked less often, for the question waits for a restore that is under way.
type commits struct {
	fd     int
	legacy bool
	every  time.Duration // between two looks
	looked time.Time
	last   uint64
	known  bool
	times  []time.Time // when the rules were found to be others
}

func newCommits(node *nsnet.NS, proxy string) (c *commits, err error) {
	c = &commits{legacy: strings.Contains(proxy, "legacy")}
	if c.legacy {
		c.every = 2 * time.Millisecond
		c.fd, err = node.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	} else {
		c.fd, err = node.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
	}
	if err != nil {
		return nil, fmt.Errorf("watch the rules of node %s: %w", node.Name(), err)
	}
	return c, nil
}

func (c *commits) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}

// look reports whether the rules are others than at the last look.
func (c *commits) look() (bool, error) {
	now := time.Now()
	if now.Sub(c.looked) < c.every {
		return false, nil
	}
	c.looked = now
	read := c.generation
	if c.legacy {
		read = c.size
	}
	v, err := read()
	if err != nil {
		return false, err
	}
	changed := c.known && v != c.last
	c.last, c.known = v, true
	if changed {
		c.times = append(c.times, time.Now())
	}
	return changed, nil
}

// between is the last commit from began on that was seen before end, and how many there were; 0 when there is none.
func (c *commits) between(began, end time.Time) (last time.Time, n int) {
	for _, t := range c.times {
		if !t.Before(began) && !t.After(end) {
			last, n = t, n+1
		}
	}
	return last, n
}

const (
	msgGetGen = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN
	msgNewGen = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN
)

func (c *commits) generation() (uint64, error) {
	var q [20]byte
	binary.NativeEndian.PutUint32(q[:], uint32(len(q)))
	binary.NativeEndian.PutUint16(q[4:], msgGetGen)
	binary.NativeEndian.PutUint16(q[6:], unix.NLM_F_REQUEST)
	if err := unix.Sendto(c.fd, q[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("ask for the generation of the rules: %w", err)
	}
	var b [256]byte
	n, err := unix.Read(c.fd, b[:])
	if err != nil {
		return 0, fmt.Errorf("read the generation of the rules: %w", err)
	}
	if n < 28 || binary.NativeEndian.Uint16(b[4:]) != msgNewGen {
		return 0, errors.New("read the generation of the rules: the kernel says something else")
	}
	return uint64(binary.BigEndian.Uint32(b[24:])), nil // behind the two headers and that of the first attribute, NFTA_GEN_ID
}

// legacyInfo is struct ipt_getinfo (linux/netfilter_ipv4/ip_tables.h).
type legacyInfo struct {
	name             [32]byte
	hooks            uint32
	entry, underflow [5]uint32
	entries, size    uint32
}

const getInfo = 64 // IPT_SO_GET_INFO

func (c *commits) size() (uint64, error) {
	i, err := tableInfo(c.fd, "nat")
	return uint64(i.entries)<<32 | uint64(i.size), err
}

func tableInfo(fd int, table string) (i legacyInfo, err error) {
	copy(i.name[:], table)
	size := uint32(unsafe.Offsetof(i.size) + unsafe.Sizeof(i.size))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_IP, getInfo, uintptr(unsafe.Pointer(&i)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return i, fmt.Errorf("ask for the size of table %s: %w", table, errno)
	}
	return i, nil
}
