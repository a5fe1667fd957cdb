// Package nftrace watches chosen packets on their way through the packet filters of one network namespace, rule by rule, as
// nf_tables itself tells it (NFT_MSG_TRACE).
//
// The trick is a table of our own whose chains are empty. At the beginning and at the end of every hook each of them makes one
// event with the packet's headers, so that what was rewritten between two of them shows as a difference: also the translations
// of replies and of later packets, for which no rule is asked and which no trace would otherwise mention. The same bit in the
// packet makes ip_tables tell its rules through nfnetlink_log (package nflog), without a rule of its own.
package nftrace
