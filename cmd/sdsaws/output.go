package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// format is how a command writes its output, as the value of --format.
type format struct {
	value   string
	allowed []string
}

// addTo adds --format, one of allowed, the first of which is the default, and --json, which is short
// for the second.
func (f *format) addTo(cmd *cobra.Command, allowed ...string) {
	f.value, f.allowed = allowed[0], allowed
	flags := cmd.Flags()
	flags.Var(f, "format", strings.Join(allowed, ", "))
	flags.VarPF(jsonFlag{f}, "json", "", "short for --format "+allowed[1]).NoOptDefVal = "true"
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp)))
}

func (f *format) String() string { return f.value }

func (f *format) Type() string { return "format" }

func (f *format) Set(arg string) error {
	if !slices.Contains(f.allowed, arg) {
		return fmt.Errorf("must be one of %s", strings.Join(f.allowed, ", "))
	}
	f.value = arg
	return nil
}

// jsonFlag is --json beside --format.
type jsonFlag struct{ f *format }

func (j jsonFlag) String() string {
	return strconv.FormatBool(j.f != nil && j.f.value == j.f.allowed[1])
}

func (j jsonFlag) Type() string { return "bool" }

func (j jsonFlag) Set(arg string) error {
	on, err := strconv.ParseBool(arg)
	if err != nil {
		return errors.New("must be true or false")
	}
	if on {
		j.f.value = j.f.allowed[1]
	}
	return nil
}

// number is a whole number as the value of a flag.
type number struct {
	value *uint64
	least uint64
}

func (n number) String() string {
	if n.value == nil {
		return "0"
	}
	return strconv.FormatUint(*n.value, 10)
}

func (n number) Type() string { return "number" }

func (n number) Set(arg string) error {
	v, err := strconv.ParseUint(arg, 10, 64)
	if err != nil || v < n.least {
		return fmt.Errorf("must be a whole number, %d or more", n.least)
	}
	*n.value = v
	return nil
}

// isTerminal reports whether something that commands read or write is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a file descriptor
}

// showTime shows a time, which has milliseconds, so that --since accepts it.
func showTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// jsonTime is a time in JSON: null when it is zero.
func jsonTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := showTime(t)
	return &s
}

// showAge shows how long ago something was, in its largest unit.
func showAge(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := max(0, now.Sub(t))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
