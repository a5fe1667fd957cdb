package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"svclab/nsnet"
	"svclab/nsnet/capture"
	"svclab/sim/lab"
)

// recording is all packets of one lab, from when it stands until it is left.
type recording struct {
	path  string // empty: none is wanted
	sites []*lab.Site
	heard *capture.Capture
}

var unfit = regexp.MustCompile(`[^A-Za-z0-9.@-]+`)

// pcapOf is the file of a case; empty when none is wanted.
func (f *runFlags) pcapOf(t testCase, seed uint64) string {
	if f.pcap == "" {
		return ""
	}
	name := unfit.ReplaceAllString(t.id(), "-")
	if f.count > 1 {
		name += fmt.Sprintf("-%d", seed)
	}
	return filepath.Join(f.pcap, name+".pcapng")
}

// begin starts to hear. Where it cannot, the lab is taken down.
func (r *recording) begin(l *lab.Lab) (err error) {
	if r.path == "" {
		return nil
	}
	defer func() {
		if err != nil {
			r.path = ""
			err = errors.Join(err, l.Close())
		}
	}()
	if r.sites, err = l.Sites(); err != nil {
		return err
	}
	var all []*nsnet.NS
	for _, s := range r.sites {
		all = append(all, s.NS)
	}
	r.heard, err = capture.Open(all...)
	return err
}

// write ends the recording and files it.
func (r *recording) write() error {
	if r.heard == nil {
		return nil
	}
	frames, err := r.heard.Frames()
	lost := r.heard.Lost()
	if err = errors.Join(err, r.heard.Close()); err != nil {
		return err
	}
	if lost > 0 {
		fmt.Fprintf(os.Stderr, "%s: %d packets came too fast, or were too many, and are not in it\n", clearLine(r.path), lost)
	}
	hops, records := r.records(frames)
	out, err := os.Create(r.path)
	if err != nil {
		return err
	}
	if err := capture.Write(out, hops, records); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}

// records are the frames on the wires, with an interface for each device on which there was one.
func (r *recording) records(frames []capture.Frame) (hops []capture.Hop, records []capture.Record) {
	type device struct {
		ns    *nsnet.NS
		index int
	}
	names, place := map[device]capture.Hop{}, map[device]int{}
	for _, s := range r.sites {
		for index, w := range s.Devices {
			d := device{s.NS, index}
			names[d] = capture.Hop{Name: s.Name + " " + w.Device, About: fmt.Sprintf("wired to %s %s", w.Peer, w.PeerName)}
			if _, seen := place[d]; !seen {
				place[d] = -1
			}
		}
	}
	for _, f := range frames {
		d := device{f.NS, f.Device}
		if _, wired := names[d]; !wired {
			continue // loopback, or a bridge, whose ports have it too
		}
		if place[d] < 0 {
			place[d] = len(hops)
			hops = append(hops, names[d])
		}
		records = append(records, capture.Record{Frame: f, Hop: place[d], Number: uint64(len(records) + 1)})
	}
	if len(hops) == 0 {
		hops = []capture.Hop{{Name: "nothing was heard"}}
	}
	return hops, records
}
