package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// descent is pid, its child, its grandchild and so on, for at most n generations of only children.
func descent(pid, n int) []int {
	chain := []int{pid}
	for len(chain) < n {
		next := childrenOf(pid)
		if len(next) != 1 {
			break
		}
		pid = next[0]
		chain = append(chain, pid)
	}
	return chain
}

func childrenOf(parent int) (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, file := range files {
		b, _ := os.ReadFile(file)
		for _, word := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// namespaces are the network namespaces in which any process runs.
func namespaces() (all []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range links {
		if ns, err := os.Readlink(path); err == nil {
			all = append(all, ns)
		}
	}
	return all
}
