package measure

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ThisMachine describes where the process runs; what cannot be found out is left out. Root and Programs are the caller's to say.
func ThisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), Settings: map[string]string{}, Programs: map[string]string{}}
	m.Host, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	m.CPU = field("/proc/cpuinfo", "model name", ":")
	m.System = strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`)
	if kb, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal", ":"), " kB"), 10, 64); err == nil {
		m.Memory = kb << 10
	}
	if load, _, ok := strings.Cut(text("/proc/loadavg"), " "); ok {
		m.Load, _ = strconv.ParseFloat(load, 64)
	}
	for name, path := range map[string]string{
		"net.core.wmem_max": "/proc/sys/net/core/wmem_max",
		"cpu governor":      "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
		"smt":               "/sys/devices/system/cpu/smt/active",
	} {
		if t := text(path); t != "" {
			m.Settings[name] = t
		}
	}
	return m
}

func text(path string) string {
	b, _ := os.ReadFile(path)
	return strings.TrimSpace(string(b))
}

// field is what follows a name at the beginning of a line.
func field(path, name, separator string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), separator); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
