package main

import (
	"reflect"
	"regexp"
	"testing"

	"github.com/sdsaws/sdsaws/internal/replay"
)

// TestHelpNamesWhatJSONHolds: scripts go by it.
func TestHelpNamesWhatJSONHolds(t *testing.T) {
	help := replayCommand().Long
	for _, v := range []any{replay.Result{}, replay.WriteUnits{}, replay.Mismatch{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(v)) {
			key := field.Tag.Get("json")
			if !regexp.MustCompile(`\b` + key + `\b`).MatchString(help) {
				t.Errorf("the help of replay doesn't name %q", key)
			}
		}
	}
}
