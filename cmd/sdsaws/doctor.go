package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws/sds"
)

type doctorFlags struct {
	stored
	json bool
}

func doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor --backend BACKEND",
		Short: "Check that a backend is set up as it should be",
		Long: `Check that a backend can be used and is set up as it should be, and say what to do where it isn't.

On AWS it looks at credentials and identity, the clock, both tables (keys, index, TTL, point-in-time
recovery, deletion protection), the bucket (versions, public access, encryption, lifecycle) and
permissions: it sends each kind of request that participants, sweepers and fsck send, in a way that
changes nothing. Then, on any backend, it makes a round trip with a channel of its own: commit, load,
archive, history, hint, drop. It removes all of it again.

The channel is in the namespace "sdsaws-doctor". A role that is confined to a namespace may not use
that one: give the role's own with --namespace; the channel's random name meets no other.

Each line is ok; warn, for what works but should be otherwise in production; fail, for what
doesn't work; or skip, for what couldn't be looked at because something before it failed. With
--json there is one object a line: check, status, detail, do; the last line counts: ok, warn, fail,
skip.

Exit status: 0 when nothing fails, warnings or not; 1 when something does.

` + storedHelp,
		Example: `  sdsaws doctor --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive
  sdsaws doctor --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive --namespace alice --json`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return doctor(cmd, f) },
	}
	f.addTo(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object a line")
	return cmd
}

// doctorNamespace is where the doctor works unless it is told otherwise.
const doctorNamespace = "sdsaws-doctor"

func doctor(cmd *cobra.Command, f doctorFlags) (err error) {
	if f.namespace == "" {
		f.namespace = doctorNamespace
	}
	if err := f.complete(cmd); err != nil {
		return err
	}
	r := &diagnosis{ctx: cmd.Context(), w: cmd.OutOrStdout()}
	if f.json {
		r.lines = json.NewEncoder(r.w)
	}
	if rest, onAWS := strings.CutPrefix(f.backend, "aws:"); onAWS {
		names, err := parseAWS(rest)
		if err != nil {
			return err
		}
		if !r.aws(names, string(f.namespace)) {
			r.skip("round trip", "something before it failed")
			return r.end()
		}
	}
	o, err := f.open(cmd)
	if err != nil {
		if errors.Is(err, errUsage) {
			return err
		}
		r.fail("store", err, "give the directory of a store that is there, and that no other process has open")
		return r.end()
	}
	defer func() { err = errors.Join(err, o.close(cmd.Context())) }()
	r.roundTrip(o)
	return r.end()
}

// diagnosedLine is what a check has found.
type diagnosedLine struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Do     string `json:"do,omitempty"`
}

// diagnosis checks one thing after the other, and shows each as it comes.
type diagnosis struct {
	ctx   context.Context
	w     io.Writer
	lines *json.Encoder // or nil
	count map[string]int
	bad   error // of the output
}

func (r *diagnosis) say(l diagnosedLine) {
	if r.ctx.Err() != nil || r.bad != nil {
		return // what comes now says nothing but that
	}
	if r.count == nil {
		r.count = map[string]int{}
	}
	r.count[l.Status]++
	if r.lines != nil {
		r.bad = r.lines.Encode(l)
		return
	}
	_, r.bad = fmt.Fprintf(r.w, "%-4s   %-38s   %s\n", l.Status, l.Check, l.Detail)
	if l.Do != "" && r.bad == nil {
		_, r.bad = fmt.Fprintf(r.w, "%45s   -> %s\n", "", l.Do)
	}
}

func (r *diagnosis) ok(check, format string, args ...any) {
	r.say(diagnosedLine{check, "ok", fmt.Sprintf(format, args...), ""})
}

func (r *diagnosis) warn(check, detail, do string) { r.say(diagnosedLine{check, "warn", detail, do}) }

func (r *diagnosis) skip(check, detail string) { r.say(diagnosedLine{check, "skip", detail, ""}) }

// fail says what doesn't work, and what to do; where that is empty, it goes by the error.
func (r *diagnosis) fail(check string, err error, do string) {
	if do == "" {
		do = advice(err)
	}
	r.say(diagnosedLine{check, "fail", strings.TrimPrefix(err.Error(), "sdsaws: "), do})
}

// advice says what to do about an error.
func advice(err error) string {
	var network net.Error
	var api smithy.APIError
	switch {
	case denied(err):
		return "allow it to this role: docs/security.md, section 4"
	case errors.As(err, &api):
		return "look up " + api.ErrorCode() + " in the documentation of the AWS service, and at region and endpoint"
	case errors.As(err, &network):
		return "look at AWS_ENDPOINT_URL, AWS_REGION and the network: nobody answers there"
	case errors.Is(err, sds.ErrCorrupt), errors.Is(err, errOther):
		return "something changes what is stored: look for others that write there, then report it"
	case errors.Is(err, sds.ErrFenced):
		return "somebody else works on this channel: run the doctor again"
	}
	return "mend what the error names, and run the doctor again"
}

func (r *diagnosis) end() error {
	switch n := r.count; {
	case r.ctx.Err() != nil:
		return r.ctx.Err()
	case r.bad != nil:
		return r.bad
	case r.lines != nil:
		if err := r.lines.Encode(struct {
			OK   int `json:"ok"`
			Warn int `json:"warn"`
			Fail int `json:"fail"`
			Skip int `json:"skip"`
		}{n["ok"], n["warn"], n["fail"], n["skip"]}); err != nil {
			return err
		}
	}
	if n := r.count["fail"]; n > 0 {
		return fmt.Errorf("doctor: %s failed", plural(n, "check"))
	}
	return nil
}
