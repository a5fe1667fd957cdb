// Package measure is the vocabulary of measured results: what `svclab bench` finds out, and every format of it shows. It
// measures nothing and prints nothing.
package measure

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// SchemaVersion of the JSON form. It rises when a field goes or means something else.
const SchemaVersion = 1

// Run is all that one call of a benchmark has found out.
type Run struct {
	SchemaVersion int               `json:"schemaVersion"`
	Kind          Kind              `json:"kind"`
	Version       string            `json:"version"` // of svclab
	Started       time.Time         `json:"started"`
	Took          float64           `json:"took"` // seconds
	Seed          uint64            `json:"seed"` // of the order in which things were measured
	Flags         map[string]string `json:"flags,omitempty"`
	Machine       Machine           `json:"machine"`
	Notes         []string          `json:"notes,omitempty"` // whoever reads the figures must know: what was cut short and why, what stood in the way
	Rows          []Row             `json:"rows"`            // in the order in which they are shown
}

// Kind of benchmark.
type Kind string

// The kinds.
const (
	Sync     Kind = "sync"     // rule-sync time
	Datapath Kind = "datapath" // what a packet pays
	Lab      Kind = "lab"      // what a lab costs
)

// Machine is where it was measured.
type Machine struct {
	Host     string            `json:"host,omitempty"`
	CPU      string            `json:"cpu"` // model
	CPUs     int               `json:"cpus"`
	Memory   int64             `json:"memory"` // bytes
	Kernel   string            `json:"kernel"`
	System   string            `json:"system,omitempty"` // "Debian GNU/Linux 12 (bookworm)"
	Go       string            `json:"go"`
	Root     bool              `json:"root"`               // the real one, else of a user namespace; the caller says
	Load     float64           `json:"load"`               // load average of the last minute, before
	Settings map[string]string `json:"settings,omitempty"` // of the kernel, where they matter: net.core.wmem_max, cpu governor, mitigations
	Programs map[string]string `json:"programs,omitempty"` // their versions: nft, iptables, kube-proxy/nftables
}

// Row is one quantity that was measured n times under the same conditions. What does not apply is empty.
type Row struct {
	Work      string `json:"work"`                // what was done: "first sync", "endpoint replaced", "new TCP connection", "opened"
	Clock     string `json:"clock,omitempty"`     // from when to when, or of what: "first correct packet", "commit", "own metric", "peak RSS"
	Proxy     string `json:"proxy,omitempty"`     // as given to --proxy; "direct": without one
	Services  int    `json:"services,omitempty"`  // in the cluster
	Endpoints string `json:"endpoints,omitempty"` // of each Service: "10", "zipf", "like FILE"
	Through   string `json:"through,omitempty"`   // which Service: "first", "middle", "last"; "direct": none
	Where     string `json:"where,omitempty"`     // "same node", "cross node"
	Nodes     int    `json:"nodes,omitempty"`
	Pods      int    `json:"pods,omitempty"`

	Unit    Unit      `json:"unit"`
	Samples []float64 `json:"samples"`           // in the order in which they were taken; empty: see Note
	Batch   int       `json:"batch,omitempty"`   // so many samples follow one another at once: what disturbs one disturbs its neighbours; 0 is 1
	At      []float64 `json:"at,omitempty"`      // of each sample the time that it was taken, in seconds from the work's beginning
	Note    string    `json:"note,omitempty"`    // why there is no sample, or fewer than were asked for; how exact they are
	Summary *Summary  `json:"summary,omitempty"` // of Samples; written for readers of the JSON, never read back
}

// Unit of samples.
type Unit string

// The units. Rates are better when they are higher, all else when it is lower.
const (
	Seconds   Unit = "s"
	Bytes     Unit = "B"
	Count     Unit = "1"
	PerSecond Unit = "1/s"
	BytesRate Unit = "B/s"
)

// HigherIsBetter reports whether more is better.
func (u Unit) HigherIsBetter() bool { return u == PerSecond || u == BytesRate }

// Key tells rows of one run apart, and is the same for the same row of another run.
func (r *Row) Key() Key {
	return Key{r.Work, r.Clock, r.Proxy, r.Services, r.Endpoints, r.Through, r.Where, r.Nodes, r.Pods}
}

// Key is a Row's conditions.
type Key struct {
	Work, Clock, Proxy string
	Services           int
	Endpoints          string
	Through, Where     string
	Nodes, Pods        int
}

// Find returns the row of that key, nil when there is none.
func (r *Run) Find(k Key) *Row {
	for i := range r.Rows {
		if r.Rows[i].Key() == k {
			return &r.Rows[i]
		}
	}
	return nil
}

// Add puts samples into the row of these conditions, which is made when it is not there yet, and returns it: valid until the
// next row is made.
func (r *Run) Add(conditions Row, samples ...float64) *Row {
	row := r.Find(conditions.Key())
	if row == nil {
		r.Rows = append(r.Rows, conditions)
		row = &r.Rows[len(r.Rows)-1]
	}
	row.Samples = append(row.Samples, samples...)
	return row
}

// Independent are samples of which chance draws one without regard to another: of batches their medians.
func (r *Row) Independent() []float64 {
	if r.Batch < 2 {
		return r.Samples
	}
	var out []float64
	for batch := range slices.Chunk(r.Samples, r.Batch) {
		out = append(out, Median(batch))
	}
	return out
}

// Write writes the run as JSON, with a summary in each row.
func (r *Run) Write(w io.Writer) error {
	out := *r
	out.SchemaVersion = SchemaVersion
	out.Rows = make([]Row, len(r.Rows))
	for i, row := range r.Rows {
		if row.Samples == nil {
			row.Samples = []float64{}
		}
		row.Summary = Summarize(row.Samples)
		out.Rows[i] = row
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(&out)
}

// Read reads what Write wrote.
func Read(in io.Reader) (*Run, error) {
	var r Run
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return nil, fmt.Errorf("read results of a benchmark: %w", err)
	}
	switch {
	case r.SchemaVersion == 0 || r.Kind == "":
		return nil, fmt.Errorf("read results of a benchmark: it has no schemaVersion and kind, as the JSON of svclab bench has")
	case r.SchemaVersion > SchemaVersion:
		return nil, fmt.Errorf("read results of a benchmark: they are of schema version %d, this svclab knows %d", r.SchemaVersion, SchemaVersion)
	}
	return &r, nil
}
