package datapath

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/sim/bench/load"
	"svclab/sim/bench/rig"
	"svclab/sim/proxies"
)

// The words of Through and Where.
const (
	direct, first, middle, last = "direct", "first", "middle", "last"
	sameNode, crossNode         = "same node", "cross node"
)

// Of ten Services the last two are UDP; of any two the first has all its endpoints on the client's node, the other none there.
// So each kind is within ten places of the first, the middle and the last.
func isUDP(service int) bool  { return service%10 >= 8 }
func isNear(service int) bool { return service%2 == 0 }

// MinServices is how many it takes to have one of each kind at the beginning, in the middle and at the end.
const MinServices = 40

// stand is a rig with one proxy, or with none, on which all is measured.
type stand struct {
	name      string // of the proxy; direct: none
	cluster   *load.Cluster
	rig       *rig.Rig
	near, far *server
	ports     ports
	order     []int // all Services, as the proxy goes through them; nil without a proxy
}

// raise opens a rig and gives the proxy its state. Where it fails it leaves nothing.
func raise(ctx context.Context, proxy *proxies.Proxy, c *load.Cluster) (_ *stand, err error) {
	s := &stand{name: direct, cluster: c}
	s.ports.renew()
	if proxy != nil {
		s.name = proxy.Name
	}
	if s.rig, err = rig.OpenBare(ctx, proxy); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.near, err = serve(s.rig.Near()); err != nil {
		return nil, err
	}
	if s.far, err = serve(s.rig.Far()); err != nil {
		return nil, err
	}
	if proxy == nil {
		return s, nil
	}
	return s, s.rig.Apply(ctx, c.Snapshot())
}

// settle returns when every Service is answered by its own endpoints. A proxy in this process has no time for it: its state is
// in force when Apply has returned. Then the proxy is abandoned: it works no more beside what is measured, and its rules stay
// in their place.
func (s *stand) settle(ctx context.Context, limit time.Duration) error {
	if s.rig.Proxy() == nil {
		return nil
	}
	_, later := s.rig.Proxy().(interface{ Alive() error }) // a process of its own
	deadline := time.Now().Add(limit)
	for i := range s.cluster.Services() {
		if i%manyPorts == manyPorts-1 {
			if err := s.renew(); err != nil {
				return err
			}
		}
		for {
			if err := s.alive(ctx); err != nil {
				return err
			}
			wait := later && time.Now().Before(deadline)
			err := s.reach(i, wait)
			if err == nil {
				break
			}
			if !wait {
				return fmt.Errorf("reach Service %d of %d: %w", i+1, s.cluster.Services(), err)
			}
			select { // it needs the processor now
			case <-time.After(between):
			case <-ctx.Done():
			}
		}
	}
	if err := s.rig.Abandon(); err != nil {
		return err
	}
	var err error
	s.order, err = order(s.rig.Node(), s.cluster.Services())
	return errors.Join(err, s.renew())
}

// between two questions whether a proxy is ready, which then has a glance to answer.
const between, glance = 100 * time.Millisecond, 5 * time.Millisecond

// manyPorts is fewer than there are.
const manyPorts = 20000

func (s *stand) alive(ctx context.Context) error {
	if a, ok := s.rig.Proxy().(interface{ Alive() error }); ok {
		if err := a.Alive(); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// reach makes one connection or flow through a Service.
func (s *stand) reach(service int, hasty bool) error {
	p := s.through(service)
	if hasty {
		p.patience = glance
	}
	return p.client.Do(func() error {
		if isUDP(service) {
			_, err := p.flow()
			return err
		}
		return p.open(1, nil)
	})
}

// through is the path through a Service.
func (s *stand) through(service int) *path {
	p := &path{client: s.rig.Client(), to: load.Front(service), server: s.far, ports: &s.ports, patience: patience}
	if isNear(service) {
		p.server = s.near
	}
	for _, e := range s.cluster.EndpointsOf(service) {
		p.allowed = append(p.allowed, s.cluster.Endpoint(e))
	}
	return p
}

// path is that of a measurement. The direct one leads to an endpoint of the Service in the middle.
func (s *stand) path(kind int, where, through string) *path {
	order, udp, near := s.order, kind == unix.SOCK_DGRAM, where == sameNode
	if order == nil {
		order = make([]int, s.cluster.Services())
		for i := range order {
			order[i] = i
		}
	}
	fits := func(i int) bool { return isUDP(i) == udp && isNear(i) == near }
	var service int
	switch through {
	case first:
		service = order[slices.IndexFunc(order, fits)]
	case last:
		backwards := slices.Clone(order)
		slices.Reverse(backwards)
		service = backwards[slices.IndexFunc(backwards, fits)]
	default:
		rest := order[len(order)/2:]
		service = rest[slices.IndexFunc(rest, fits)]
	}
	p := s.through(service)
	if through == direct {
		p.to, p.allowed = p.allowed[0], []netip.AddrPort{p.allowed[0]}
	}
	return p
}

// renew empties the node's memory of connections, so that it is as long in every round, and source ports may come again.
func (s *stand) renew() error {
	s.ports.renew()
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: s.rig.Node().FD()})
	if err != nil {
		return err
	}
	defer c.Close()
	const ctDelete = 2 // IPCTNL_MSG_CT_DELETE; without a tuple it deletes all
	_, err = c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_CTNETLINK<<8 | ctDelete, Flags: netlink.Request | netlink.Acknowledge},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return fmt.Errorf("forget the connections of node %s: %w", s.rig.Node().Name(), err)
	}
	return nil
}

// forget drops what a measurement that failed has left.
func (s *stand) forget() {
	s.near.forget()
	s.far.forget()
}

// Close takes the stand down.
func (s *stand) Close() error {
	for _, x := range []*server{s.near, s.far} {
		if x != nil {
			x.Close()
		}
	}
	return s.rig.Close()
}

// clusterOf is the cluster that all proxies are given.
func clusterOf(services, endpoints int) *load.Cluster {
	return load.New(load.Shape{Services: services, Endpoints: load.Each(endpoints), NearService: isNear, UDP: isUDP})
}
