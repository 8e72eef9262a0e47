// Package canary finds out, for tests, whether what must not be shown is: texts that occur nowhere
// else are planted as content, hints, ids and credentials, and looked for in errors, logs and
// output, in every form in which bytes get there.
package canary

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"sync"
)

// Bird is a planted text: letters and digits, so that it stays as it is in quotes and in escaped keys.
type Bird string

// New returns the canary for what is called name, in letters and digits.
func New(name string) Bird { return Bird("canary" + name + "x7Qz9RkW2v") }

// Raw returns the bytes to plant: the canary between bytes that are neither text nor harmless.
func (b Bird) Raw() string { return "\x00\"" + string(b) + "\xff\n" }

// forms are the texts that show the canary.
func (b Bird) forms() []string {
	all := []string{
		string(b),
		hex.EncodeToString([]byte(b)),
		strings.ToUpper(hex.EncodeToString([]byte(b))),
		strings.Trim(fmt.Sprintf("%d", []byte(b)), "[]"),                  // %v of bytes
		strings.Trim(fmt.Sprintf("%#v", []byte(b))[len("[]byte{"):], "}"), // %#v of bytes
		fmt.Sprintf("% x", []byte(b)),                                     // a dump
		strings.Trim(fmt.Sprintf("%q", []rune(b)), "[]"),                  // %q of runes
	}
	for pad := range 3 { // base64 has three forms, by how many bytes come before
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("-", pad) + string(b)))
		encoded = strings.TrimRight(encoded, "=")
		first := (pad*8 + 5) / 6 // digits that depend on what comes before, and one on what follows
		encoded = encoded[first : len(encoded)-1]
		all = append(all, encoded, strings.NewReplacer("+", "-", "/", "_").Replace(encoded))
	}
	return all
}

// In reports whether a text shows the canary, in any form.
func (b Bird) In(text string) bool {
	for _, f := range b.forms() {
		if strings.Contains(text, f) {
			return true
		}
	}
	return false
}

// Errors returns how an error and all that it wraps can be printed or logged.
func Errors(err error) string {
	var b strings.Builder
	write(&b, err)
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Error("failed", "err", err)
	}
	return b.String()
}

func write(b *strings.Builder, err error) {
	if err == nil {
		return
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s"} {
		fmt.Fprintf(b, verb+"\n", err)
	}
	switch e := err.(type) { //nolint:errorlint // each of the tree is looked at
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			write(b, inner)
		}
	default:
		write(b, errors.Unwrap(err))
	}
}

// Output collects what a program writes, from any goroutine.
type Output struct {
	mu   sync.Mutex // protects text
	text strings.Builder
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// Error takes note of an error.
func (o *Output) Error(err error) {
	if err != nil {
		fmt.Fprintln(o, Errors(err))
	}
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Logs sends the logs of packages log and slog to o until the returned function is called.
func (o *Output) Logs() (restore func()) {
	before, logger := log.Writer(), slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(o, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.SetOutput(o)
	return func() {
		slog.SetDefault(logger)
		log.SetOutput(before)
	}
}
