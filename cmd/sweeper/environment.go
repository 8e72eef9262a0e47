package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sdsaws/sdsaws/store"
)

// environment is what the function's variables say.
type environment struct {
	state, hints, bucket string
	prefix               string   // optional
	here                 string   // the region in which the function runs
	region               string   // sdsaws.Options.Region, optional
	namespaces           []string // none: all that there are
	workers              int
	function             string // its name
}

func readEnvironment(getenv func(string) string) (environment, error) {
	e := environment{
		state: getenv("SDSAWS_STATE_TABLE"), hints: getenv("SDSAWS_HINTS_TABLE"), bucket: getenv("SDSAWS_BUCKET"),
		prefix: getenv("SDSAWS_PREFIX"), here: getenv("AWS_REGION"), region: getenv("SDSAWS_REGION"),
		workers:  workers(getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")),
		function: cmp.Or(getenv("AWS_LAMBDA_FUNCTION_NAME"), "sweeper"), // which isn't set elsewhere
	}
	var errs []error
	for _, v := range []struct{ name, value string }{
		{"SDSAWS_STATE_TABLE", e.state}, {"SDSAWS_HINTS_TABLE", e.hints}, {"SDSAWS_BUCKET", e.bucket},
		{"AWS_REGION", e.here},
	} {
		if v.value == "" {
			errs = append(errs, fmt.Errorf("%s is not set", v.name))
		}
	}
	if e.region != "" && e.region != e.here {
		errs = append(errs, fmt.Errorf("SDSAWS_REGION is %q, but the function runs in AWS_REGION %q: "+
			"set it to that, or, where the tables have no replicas, don't set it", e.region, e.here))
	}
	var err error
	if e.namespaces, err = parseNamespaces(getenv("SDSAWS_NAMESPACES")); err != nil {
		errs = append(errs, fmt.Errorf("SDSAWS_NAMESPACES: %w", err))
	}
	return e, errors.Join(errs...)
}

// parseNamespaces reads names with commas between them. One that begins with a double quote is a
// Go-quoted string, as on the command line: for commas, and bytes that a variable can't hold.
func parseNamespaces(list string) (names []string, err error) {
	for rest := list; rest != ""; {
		var name string
		if rest[0] == '"' {
			quoted, err := strconv.QuotedPrefix(rest)
			if err == nil {
				name, err = strconv.Unquote(quoted)
			}
			after := rest[len(quoted):]
			if err != nil || after != "" && after[0] != ',' {
				return nil, fmt.Errorf("%q is no Go-quoted string up to the next comma", rest)
			}
			rest = strings.TrimPrefix(after, ",")
		} else {
			name, rest, _ = strings.Cut(rest, ",")
		}
		if err := store.CheckNamespace(name); err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		names = append(names, name)
	}
	return names, nil
}

// Each worker needs memory for a segment, some 100 MB, and as much again before the collector
// comes round to it.
const (
	workerMegabytes = 256
	maxWorkers      = 8
)

func workers(megabytes string) int {
	n, err := strconv.Atoi(megabytes)
	if err != nil {
		return 1 // not in a Lambda
	}
	return max(1, min(maxWorkers, n/workerMegabytes))
}
