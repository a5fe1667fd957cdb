package lab

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The protocol of the pods' servers: a request is one line (TCP), one datagram (UDP) or the text of an INIT (SCTP) that starts
// with a word of the client's choice; the answer is the same word, the server's own address and the client's as the server
// sees it.
//
// A long request is padded, and its answer to the same length. The padding says at each place how far it is, so that neither
// side takes a payload for whole in which something is missing or in the wrong place: what is damaged is not answered, and a
// damaged answer is none. A proxy that damages payloads is judged by that.

func answer(word string, server, source netip.AddrPort) string {
	return word + " " + server.String() + " " + source.String()
}

// answerFields is how many words an answer has, and a request.
const answerFields, requestFields = 3, 1

func parseAnswer(text, word string) (server, source netip.AddrPort, err error) {
	parts := strings.Fields(text)
	if len(parts) < answerFields || parts[0] != word {
		return server, source, fmt.Errorf("strange answer %q to %q", text, word)
	}
	if server, err = netip.ParseAddrPort(parts[1]); err != nil {
		return server, source, err
	}
	source, err = netip.ParseAddrPort(parts[2])
	return server, source, err
}

// padded makes a line of the text that is size bytes long with its end, or as long as the text where that is more.
func padded(text string, size int) string {
	room := size - len(text) - len("\n")
	if room <= 0 {
		return text + "\n"
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteString(text)
	b.WriteByte(' ')
	for b.Len() < size-len("\n") {
		b.WriteByte('.')
		b.WriteString(strconv.Itoa(b.Len()))
	}
	return b.String()[:size-len("\n")] + "\n"
}

// whole returns the line's first words, and whether all of the line is as padded makes it.
func whole(line string, words int) (text string, ok bool) {
	end := 0
	for ; words > 0; words-- {
		next := strings.IndexAny(line[end:], " \n")
		if next < 0 {
			return "", false
		}
		end += next + 1
	}
	text = line[:end-1]
	return text, line == padded(text, len(line))
}

// largest is room for any request or answer of that size.
func largest(size int) int { return max(size, 512) }
