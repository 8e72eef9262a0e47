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

// TestARegionIsTheFunctionsOwn, or all channels would be left to another's sweeper.
func TestARegionIsTheFunctionsOwn(t *testing.T) {
	for region, wrong := range map[string]bool{"": false, "eu-central-1": false, "eu-centrall-1": true, "us-east-1": true} {
		_, err := newSweeper(t.Context(), func(name string) string {
			return map[string]string{"SDSAWS_STATE_TABLE": "s", "SDSAWS_HINTS_TABLE": "h", "SDSAWS_BUCKET": "b",
				"SDSAWS_REGION": region, "AWS_REGION": "eu-central-1"}[name]
		})
		if (err != nil) != wrong || wrong && !strings.Contains(err.Error(), "SDSAWS_REGION") {
			t.Errorf("%q: %v", region, err)
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
