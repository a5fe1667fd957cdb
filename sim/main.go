// Command svclab is a laboratory for Kubernetes Services: it builds nodes and pods of network namespaces, runs a service
// proxy on every node, sends real packets as a scenario file says, and judges every flow.
//
// This package has verbs, flags and exit codes, decides which cases run when, and nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes (see `svclab --help`).
const (
	exitFailed  = 1
	exitUsage   = 2
	exitNothing = 3
	exitSkipped = 4
	exitBroken  = 5
	exitTimeout = 124
)

// exitError carries an exit code; its text is printed unless empty.
type exitError struct {
	code int
	err  error
}

// inputError is about files, and says where in them: an editor can jump to it, so nothing is put in front.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signalContext()
	defer stop()
	root := rootCommand()
	err := root.ExecuteContext(ctx)
	code := 0
	var exit exitError
	switch {
	case errors.As(err, &exit):
		code = exit.code
	case err != nil:
		code = exitUsage // cobra's own errors: an unknown flag, a wrong argument
	}
	if sig := caught(ctx); sig != 0 {
		code = 128 + int(sig)
	}
	switch {
	case err == nil || err.Error() == "":
	case errors.As(err, new(inputError)):
		fmt.Fprintln(os.Stderr, err)
	default:
		fmt.Fprintf(os.Stderr, "svclab: %v\n", err)
	}
	os.Exit(code)
}

// signalError is the cause of a context that a signal ended.
type signalError struct{ syscall.Signal }

func (s signalError) Error() string { return "stopped by signal: " + s.Signal.String() }

func signalContext() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for s := range c {
			cancel(signalError{s.(syscall.Signal)})
		}
	}()
	return ctx, func() { signal.Stop(c); cancel(nil) }
}

func caught(ctx context.Context) syscall.Signal {
	var s signalError
	if errors.As(context.Cause(ctx), &s) {
		return s.Signal
	}
	return 0
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "svclab",
		Short: "A laboratory for Kubernetes Services: real proxies, real packets, no cluster, no root",
		Long: `svclab builds nodes and pods out of Linux network namespaces, runs a real service proxy on every
node, takes a YAML scenario of Services and Pods, sends real packets, and judges every flow: which
endpoint answered, whose address it saw, refused or silently dropped, spread fairly or not.

Exit codes: 0 all passed, or failed as known · 1 a check failed · 2 bad usage or an invalid scenario, nothing was run ·
3 nothing could start or was selected · 4 all that was selected was skipped · 5 the lab broke ·
124 time limit · 130/143 on signals. 5 beats 1 beats 4 beats 3.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	run, diff, validate, rules, explain, describe := runCommand(), diffCommand(), validateCommand(), rulesCommand(), explainCommand(), describeCommand()
	for _, c := range []*cobra.Command{run, diff, validate, rules, explain, describe} {
		c.PreRunE = fromEnvironment
	}
	root.AddCommand(run, explain, diff, describe, rules, benchCommand(), validate, graphCommand(), proxyCommand(), listCommand(), doctorCommand(), schemaCommand(), versionCommand())
	return root
}

// complete makes the shell's completion know the words of a flag.
func complete(c *cobra.Command, flag string, words []string) {
	err := c.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, start string) ([]string, cobra.ShellCompDirective) {
		return startingWith(start, words), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // no such flag: a slip of ours, which every start would show
	}
}

func startingWith(start string, words []string) (out []string) {
	for _, w := range words {
		if strings.HasPrefix(w, start) {
			out = append(out, w)
		}
	}
	return out
}
