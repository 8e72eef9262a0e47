package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// screen shows a look.
type screen interface{ show(look) error }

func (f *watchFlags) screen(cmd *cobra.Command) screen {
	out := cmd.OutOrStdout()
	switch {
	case f.json:
		return jsonScreen{json.NewEncoder(out)}
	case isTerminal(out):
		return &fullScreen{out, out.(*os.File), f}
	}
	return &lineScreen{&columns{w: out, header: append([]string{"TIME"}, watchHeader...)}, cmd.ErrOrStderr()}
}

var watchHeader = []string{"CHANNEL", "MSG/S", "UNITS/S", "CLAIMS", "HISTORY", "WAITING", "AGE", "LAG"}

func (c *watched) cells(now time.Time) []string {
	rates := []string{"-", "-", "-"}
	if c.change != nil {
		rates = []string{fmt.Sprintf("%.1f", c.change.Messages), fmt.Sprintf("%.1f", c.change.WriteUnits), fmt.Sprint(c.change.Claims)}
	}
	s := c.status
	return append(append([]string{quoteID(c.id)}, rates...), fmt.Sprint(s.History), fmt.Sprint(s.Evicted),
		showAge(s.Committed, now), showAge(s.EvictedSince, now))
}

// lineScreen writes a line for each channel and look.
type lineScreen struct {
	*columns
	errors io.Writer
}

func (s *lineScreen) show(l look) error {
	for _, c := range l.channels {
		if err := s.row(append([]string{showTime(l.at)}, c.cells(l.at)...)...); err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	for _, e := range l.errors {
		tell(s.errors, e.err)
	}
	return nil
}

// fullScreen writes the whole of a terminal at each look.
type fullScreen struct {
	w        io.Writer
	terminal *os.File
	f        *watchFlags
}

func (s *fullScreen) show(l look) error {
	height := 24
	if _, h, err := term.GetSize(int(s.terminal.Fd())); err == nil { //nolint:gosec // a file descriptor
		height = h
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\x1b[H\x1b[2Jnamespace %s: %s, every %v, at %s\n\n", quoteID(string(s.f.namespace)),
		plural(len(l.channels), "channel"), s.f.interval, l.at.Format(time.TimeOnly))
	t := &columns{w: &b, header: watchHeader}
	shown := min(len(l.channels), max(1, height-7-len(l.errors)))
	for _, c := range l.channels[:shown] {
		if err := t.row(c.cells(l.at)...); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if more := len(l.channels) - shown; more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	b.WriteString("\nUNITS/S are at least so many. Throttles are in CloudWatch. Ctrl-C ends it.\n")
	for _, e := range l.errors {
		tell(&b, e.err)
	}
	_, err := io.WriteString(s.w, b.String())
	return err
}

type jsonScreen struct{ *json.Encoder }

type watchedLine struct {
	Time    string `json:"time"`
	Channel string `json:"channel"`
	*changed
	Epoch        uint64  `json:"epoch"`
	History      int     `json:"history"`
	Waiting      int     `json:"waiting"`
	WaitingSince *string `json:"waiting_since"`
	CommittedAt  *string `json:"committed_at"`
}

type watchedError struct {
	Time    string  `json:"time"`
	Channel *string `json:"channel"`
	Error   string  `json:"error"`
}

func (s jsonScreen) show(l look) error {
	for _, c := range l.channels {
		line := watchedLine{showTime(l.at), escapeID(c.id), c.change, c.status.Epoch, c.status.History, c.status.Evicted,
			jsonTime(c.status.EvictedSince), jsonTime(c.status.Committed)}
		if err := s.Encode(line); err != nil {
			return err
		}
	}
	for _, e := range l.errors {
		line := watchedError{Time: showTime(l.at), Error: e.err.Error()}
		if e.id != "" {
			id := escapeID(e.id)
			line.Channel = &id
		}
		if err := s.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
