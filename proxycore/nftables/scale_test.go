package nftables

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"svclab/proxycore"
)

// BenchmarkScale is a first sync of shapes that clusters have, what the core and the backend keep of it in memory beside the
// state that they are given, what the kernel keeps, and what a new process at that kernel takes. The kernel's share is the
// machine's Slab and VmallocUsed: others must be quiet.
func BenchmarkScale(b *testing.B) {
	for _, shape := range [][2]int{{10000, 10}, {50000, 10}, {5000, 250}} {
		b.Run(fmt.Sprintf("%dx%d", shape[0], shape[1]), func(b *testing.B) {
			s := state(0)
			for i := range shape[0] {
				s = s.WithService(serviceOf(i))
				for at := 0; at < shape[1]; at += 100 {
					slice := sliceOf(i)
					slice.Name += fmt.Sprintf("-%d", at)
					for e := at; e < min(at+100, shape[1]); e++ {
						slice.Endpoints = append(slice.Endpoints, sliceOf(i*(shape[1]/16+1)+e/16, e%16).Endpoints...)
					}
					s = s.WithSlice(slice)
				}
			}
			ns := namespace(b)
			for b.Loop() {
				before, kernel := heap(), kernelMemory(b)
				be := open(b, ns, Options{})
				p := proxycore.New(proxycore.Config{Node: "node-1"}, be, nil)
				apply := func(p *proxycore.Proxy, what string) {
					began := time.Now()
					if err := p.Apply(context.Background(), s); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "ms/"+what)
				}
				apply(p, "first-sync")
				b.ReportMetric(float64(heap()-before)/(1<<20), "MB-heap")
				b.ReportMetric(float64(kernelMemory(b)-kernel)/1024, "MB-kernel")
				heir := open(b, ns, Options{})
				apply(proxycore.New(proxycore.Config{Node: "node-1"}, heir, nil), "restart")
				if _, sent := heir.Sent(); sent > 0 && !heir.refills {
					b.Errorf("a new process sent %d transactions", sent)
				}
				runtime.KeepAlive(p)
				heir.closed = true
				heir.sock.close()
				be.Close()
			}
			runtime.KeepAlive(s)
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// kernelMemory is in KB.
func kernelMemory(b *testing.B) (sum int64) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "Slab:" || f[0] == "VmallocUsed:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			sum += n
		}
	}
	return sum
}
