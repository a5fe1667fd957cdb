package nftables

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// explain puts the kernel's error about one message of a batch into words: what was to be done, to which element.
func explain(batch []byte, e message, errno unix.Errno) error {
	var offset uint32
	var words string
	if len(e.body) >= 4+messageHeader { // errno, the header of the message, then attributes (linux/netlink.h, nlmsgerr)
		for typ, v := range attrs(e.body[4+messageHeader:]) {
			switch {
			case typ == unix.NLMSGERR_ATTR_OFFS && len(v) == 4:
				offset = binary.NativeEndian.Uint32(v)
			case typ == unix.NLMSGERR_ATTR_MSG:
				words = " (" + text(v) + ")"
			}
		}
	}
	if errno == unix.ENFILE && words == "" {
		words = " (the set is full)" // nf_tables_api.c, nft_add_set_elem
	}
	what := "commit the transaction"
	for m := range messages(batch) {
		if m.seq == e.seq && m.typ>>8 == nftables {
			what = describe(m, int(offset)-messageHeader-bodyHeader)
			break
		}
	}
	return fmt.Errorf("%s: %w%s", what, errno, words)
}

var actions = map[uint16]struct {
	text string
	name uint16 // the attribute that says of what
}{
	unix.NFT_MSG_NEWTABLE:   {"add table", unix.NFTA_TABLE_NAME},
	unix.NFT_MSG_DELTABLE:   {"delete table", unix.NFTA_TABLE_NAME},
	unix.NFT_MSG_NEWCHAIN:   {"add chain", unix.NFTA_CHAIN_NAME},
	unix.NFT_MSG_DELCHAIN:   {"delete chain", unix.NFTA_CHAIN_NAME},
	unix.NFT_MSG_NEWRULE:    {"add a rule to chain", unix.NFTA_RULE_CHAIN},
	unix.NFT_MSG_DELRULE:    {"delete the rules of chain", unix.NFTA_RULE_CHAIN},
	unix.NFT_MSG_NEWSET:     {"declare set", unix.NFTA_SET_NAME},
	unix.NFT_MSG_NEWSETELEM: {"add an element to", unix.NFTA_SET_ELEM_LIST_SET},
	unix.NFT_MSG_DELSETELEM: {"delete an element of", unix.NFTA_SET_ELEM_LIST_SET},
}

// describe says what a message of ours asks for. offset points into its attributes, at the element that is meant
// (the kernel has told it since 5.15 or so; an offset that points nowhere is ignored).
func describe(m message, offset int) string {
	fam := families[0]
	if m.body[0] == families[1].proto {
		fam = families[1]
	}
	action, ok := actions[m.typ&0xff]
	if !ok {
		return fmt.Sprintf("message %d of table %s", m.typ&0xff, fam.name)
	}
	body := m.body[bodyHeader:]
	name := text(attr(body, action.name))
	element := ""
	if list := attr(body, unix.NFTA_SET_ELEM_LIST_ELEMENTS); list != nil && action.name == unix.NFTA_SET_ELEM_LIST_SET {
		at := len(body) - len(list) // the list is the last attribute
		for _, e := range attrs(list) {
			size := attrHeader + align(len(e))
			if at <= offset && offset < at+size {
				for id := range sets {
					if sets[id].name == name {
						element = " element " + fam.element(setID(id), attr(e, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE))
					}
				}
			}
			at += size
		}
	}
	if action.name == unix.NFTA_TABLE_NAME && m.typ&0xff <= unix.NFT_MSG_DELTABLE {
		return fmt.Sprintf("%s %s %s", action.text, fam.name, name)
	}
	return fmt.Sprintf("%s %s%s in table %s %s", action.text, name, element, fam.name, text(attr(body, 1)))
}
