package main

import (
	"slices"
	"strings"
	"testing"
)

// TestNamespacesAreAListWithCommas, in which a quoted one may hold any bytes.
func TestNamespacesAreAListWithCommas(t *testing.T) {
	for list, want := range map[string][]string{
		"":                       nil,
		"alice":                  {"alice"},
		"alice,bob,tenant/carol": {"alice", "bob", "tenant/carol"},
		`"a,b",c`:                {"a,b", "c"},
		`alice,"\xff\x00\"",bob`: {"alice", "\xff\x00\"", "bob"},
		"alice,":                 {"alice"},
		"spaces are, part of it": {"spaces are", " part of it"},
	} {
		if got, err := parseNamespaces(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", list, got, err, want)
		}
	}
	for _, list := range []string{",", "a,,b", `"a`, `"a"b`, `"a" ,b`, "a*", "a?b", strings.Repeat("x", 257)} {
		if got, err := parseNamespaces(list); err == nil {
			t.Errorf("%s: %q, want an error", list, got)
		}
	}
}

// TestTheEnvironmentIsReadBeforeAnything: what isn't set is named, all of it.
func TestTheEnvironmentIsReadBeforeAnything(t *testing.T) {
	_, err := newSweeper(t.Context(), func(name string) string {
		return map[string]string{"SDSAWS_BUCKET": "b", "SDSAWS_NAMESPACES": "*"}[name]
	})
	for _, name := range []string{"SDSAWS_STATE_TABLE", "SDSAWS_HINTS_TABLE", "AWS_REGION", "SDSAWS_NAMESPACES"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error doesn't name %s: %v", name, err)
		}
	}
}

// TestWorkersFitIntoMemory.
func TestWorkersFitIntoMemory(t *testing.T) {
	for megabytes, want := range map[string]int{"": 1, "128": 1, "512": 2, "1024": 4, "10240": 8} {
		if got := workers(megabytes); got != want {
			t.Errorf("%s MB: %d workers, want %d", megabytes, got, want)
		}
	}
}
