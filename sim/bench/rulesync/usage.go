package rulesync

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// process is a proxy that is a program of its own.
type process interface{ PID() int }

// usage is what a process has used so far.
type usage struct {
	peak int64   // bytes, resident (VmHWM)
	cpu  float64 // seconds, of those that it has started and waited for too; to a hundredth
}

// ticks a second of /proc/PID/stat: USER_HZ, 100 on every architecture that Go runs on.
const ticks = 100

func usageOf(pid int) (u usage, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return u, fmt.Errorf("read what process %d has used: %w", pid, err)
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // behind the command's name; the next word is field 3 of proc_pid_stat(5)
	if i := bytes.LastIndex(stat, []byte(") ")); i >= 0 {
		rest = stat[i+2:]
	}
	words := bytes.Fields(rest)
	for _, field := range []int{14, 15, 16, 17} { // utime, stime, cutime, cstime
		if field-3 < len(words) {
			n, _ := strconv.ParseFloat(string(words[field-3]), 64)
			u.cpu += n / ticks
		}
	}
	u.peak = kilobytes(filepath.Join(dir, "status"), "VmHWM:")
	return u, nil
}

// kilobytes reads "NAME   123 kB" from a file, in bytes; 0 when it is not there.
func kilobytes(path string, names ...string) (total int64) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		for _, name := range names {
			if len(words) >= 2 && words[0] == name {
				n, _ := strconv.ParseInt(words[1], 10, 64)
				total += n << 10
			}
		}
	}
	return total
}

// kernelMemory is what the whole machine's kernel has allocated where rules go: in large pieces, and in small ones that are charged
// to a process (kmalloc-cg-*, as all of nf_tables' are). Who is not root of the machine sees of the latter only all small
// pieces together.
func kernelMemory() int64 {
	large := kilobytes("/proc/meminfo", "VmallocUsed:")
	text, err := os.ReadFile("/proc/slabinfo")
	if err != nil {
		return large + kilobytes("/proc/meminfo", "Slab:")
	}
	small := int64(0)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) > 3 && strings.HasPrefix(words[0], "kmalloc-cg-") {
			n, _ := strconv.ParseInt(words[1], 10, 64)
			size, _ := strconv.ParseInt(words[3], 10, 64)
			small += n * size
		}
	}
	return large + small
}

// steadyMemory waits until the kernel has cleared away what the last rig has left, at most some seconds, and returns kernelMemory.
func steadyMemory(ctx context.Context) int64 {
	now := kernelMemory()
	for calm, tries := 0, 0; calm < 3 && tries < 50; tries++ {
		if !sleep(ctx, 100*time.Millisecond) {
			break
		}
		before := now
		now = kernelMemory()
		if calm++; max(now-before, before-now) > 1<<20 {
			calm = 0
		}
	}
	return now
}

// MemoryAvailable is what the machine can still give, in bytes; 0 when it does not say.
func MemoryAvailable() int64 { return kilobytes("/proc/meminfo", "MemAvailable:") }

// children looks after the programs that a process starts, and remembers the most that any of them has been.
type children struct {
	stop chan struct{}
	done sync.WaitGroup
	most int64
}

// watchChildren looks every 50 ms: a child that is gone before it is seen was small.
func watchChildren(pid func() int) *children {
	c := &children{stop: make(chan struct{})}
	c.done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-c.stop:
				return
			case <-tick.C:
			}
			of := pid()
			if of == 0 {
				continue
			}
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", of))
			lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", of))
			for _, list := range lists {
				text, _ := os.ReadFile(list)
				for _, child := range strings.Fields(string(text)) {
					if comm, _ := os.ReadFile("/proc/" + child + "/comm"); bytes.Equal(comm, name) {
						continue // it has forked and is not another program yet
					}
					c.most = max(c.most, kilobytes("/proc/"+child+"/status", "VmHWM:"))
				}
			}
		}
	})
	return c
}

// end returns the most.
func (c *children) end() int64 {
	close(c.stop)
	c.done.Wait()
	return c.most
}
