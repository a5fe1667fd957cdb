package reflector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	asJSON     = "application/json"
	asProtobuf = "application/vnd.kubernetes.protobuf"

	// silence is how long a server may say nothing in the middle of an answer, and before it.
	silence = 30 * time.Second
)

// clientOf is HTTP/1.1 with a connection for each request under way: lists and watches are few and long.
func clientOf(o Options) (*http.Client, error) {
	t := &http.Transport{
		Proxy:              http.ProxyFromEnvironment,
		DialContext:        (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		DisableCompression: true, // it would cost more than it saves
		ReadBufferSize:     64 << 10,
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if o.CA != "" {
		text, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate: it must be in PEM, as in a kubeconfig's certificate-authority", o.CA)
		}
	}
	if o.TokenFile != "" {
		if _, err := os.ReadFile(o.TokenFile); err != nil {
			return nil, err
		}
	}
	return &http.Client{Transport: t}, nil
}

// answer is the body of an answer with success, and how it is encoded. Reading from it fails after silence.
type answer struct {
	io.ReadCloser
	protobuf bool
	rest     *time.Timer     // until the silence is too long; nil: it may be
	ctx      context.Context // ends with errSilent then
	cancel   context.CancelCauseFunc
}

// errSilent is why a request was given up.
var errSilent = fmt.Errorf("the server has said nothing for %s", silence)

// because is errSilent where that is what is behind an error.
func because(ctx context.Context, err error) error {
	if err != nil && err != io.EOF && context.Cause(ctx) == errSilent {
		return errSilent
	}
	return err
}

func (a *answer) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	if a.rest != nil {
		a.rest.Reset(silence)
	}
	return n, because(a.ctx, err)
}

// Close ends the request. It may be called twice.
func (a *answer) Close() error {
	a.cancel(nil)
	if a.rest != nil {
		a.rest.Stop()
	}
	return a.ReadCloser.Close()
}

// refusal is an answer that is no success.
type refusal struct {
	code    int
	message string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.code, r.message) }

// get asks, and returns the answer once it begins. patient: the answer may be silent in the middle, as a watch is.
func (r *Reflector) get(ctx context.Context, path string, query url.Values, patient bool) (*answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(silence, func() { cancel(errSilent) })
	a, err := r.do(ctx, path, query)
	if err != nil {
		late.Stop()
		err = because(ctx, err)
		cancel(nil)
		return nil, err
	}
	a.ctx, a.cancel = ctx, cancel
	if patient {
		late.Stop()
	} else {
		a.rest = late
	}
	return a, nil
}

func (r *Reflector) do(ctx context.Context, path string, query url.Values) (*answer, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.address(path, query), nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("User-Agent", r.options.Agent)
	q.Header.Set("Accept", asProtobuf+","+asJSON)
	if r.options.TokenFile != "" {
		token, err := os.ReadFile(r.options.TokenFile)
		if err != nil {
			return nil, err
		}
		q.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	got, err := r.client.Do(q)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if got.StatusCode != http.StatusOK {
		defer got.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(got.Body, 64<<10))
		return nil, &refusal{got.StatusCode, said(kind, body)}
	}
	if kind != asProtobuf && kind != asJSON {
		got.Body.Close()
		return nil, fmt.Errorf("the answer is of type %q: this is no Kubernetes API server", got.Header.Get("Content-Type"))
	}
	return &answer{ReadCloser: got.Body, protobuf: kind == asProtobuf}, nil
}

// said is the message of a Status, or the text itself.
func said(kind string, body []byte) string {
	var s metav1.Status
	switch kind {
	case asProtobuf:
		if _, raw, err := unwrap(body); err == nil && s.Unmarshal(raw) == nil && s.Message != "" {
			return s.Message
		}
	case asJSON:
		if json.Unmarshal(body, &s) == nil && s.Message != "" {
			return s.Message
		}
	}
	text := strings.TrimSpace(string(body))
	return text[:min(len(text), 200)]
}
