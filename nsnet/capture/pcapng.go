package capture

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"svclab/nsnet/packet"
)

// Hop is one interface of a file: a device of a namespace.
type Hop struct {
	Name  string // as Wireshark shows it: "node-1 eth0"
	About string // optional, what it is
}

// Record is one packet of a file.
type Record struct {
	Frame
	Hop      int // index into the hops
	Number   uint64
	Comments []string
}

// Write writes a pcapng file: an interface for each hop, the packets in the order given, their comments, and whether they came
// or went. Checksums that were left to a device are computed.
func Write(w io.Writer, hops []Hop, records []Record) error {
	if len(hops) == 0 {
		return errors.New("write pcapng: there is no hop, and a file needs one")
	}
	face := func(h Hop) pcapgo.NgInterface {
		return pcapgo.NgInterface{Name: h.Name, Description: h.About, OS: "Linux", LinkType: layers.LinkTypeEthernet, SnapLength: longest, TimestampResolution: 9}
	}
	f, err := pcapgo.NewNgWriterInterface(w, face(hops[0]), pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "svclab"}})
	if err != nil {
		return fmt.Errorf("write pcapng: %w", err)
	}
	for _, h := range hops[1:] {
		if _, err := f.AddInterface(face(h)); err != nil {
			return fmt.Errorf("write pcapng: interface %s: %w", h.Name, err)
		}
	}
	for i, r := range records {
		if r.Hop < 0 || r.Hop >= len(hops) {
			return fmt.Errorf("write pcapng: packet %d is of hop %d, and there are %d", i+1, r.Hop, len(hops))
		}
		data := r.Data
		if r.Unfinished {
			data = slices.Clone(data)
			packet.Mend(data)
		}
		flags := &pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionInbound}
		if r.Outgoing {
			flags.Direction = pcapgo.NgEpbFlagDirectionOutbound
		}
		options := pcapgo.NgPacketOptions{Comments: r.Comments, Flags: flags}
		if r.Number != 0 {
			options.PacketID = &r.Number
		}
		info := gopacket.CaptureInfo{Timestamp: r.At, CaptureLength: len(data), Length: max(r.Length, len(data)), InterfaceIndex: r.Hop}
		if err := f.WritePacketWithOptions(info, data, options); err != nil {
			return fmt.Errorf("write pcapng: packet %d: %w", i+1, err)
		}
	}
	if err := f.Flush(); err != nil {
		return fmt.Errorf("write pcapng: %w", err)
	}
	return nil
}
