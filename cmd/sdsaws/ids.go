package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sdsaws/sdsaws/store"
)

// idHelp is the rule of this file, for the root command's help.
const idHelp = `Ids of channels and messages, namespaces and hints are arbitrary bytes. They are written as in
Go's strings: text as it is, \xff for other bytes, \\ for a backslash and \" for a double quote.
Tables and errors put them between double quotes, JSON doesn't; on the command line both are
accepted, so that what is shown can be given back. Keep the shell off backslashes by single
quotes: '\xff\x00id'.`

// quoteID shows an id in tables and errors.
func quoteID(id string) string { return strconv.Quote(id) }

// escapeID is an id in JSON: as it is shown, without the quotes.
func escapeID(id string) string {
	quoted := strconv.Quote(id)
	return quoted[1 : len(quoted)-1]
}

// parseID reads an id from the command line.
func parseID(arg string) (string, error) {
	rest, quoted := strings.CutPrefix(arg, `"`)
	if quoted {
		inside, ended := strings.CutSuffix(rest, `"`)
		if !ended {
			return "", badID(arg)
		}
		rest = inside
	}
	var id []byte
	for len(rest) > 0 {
		if rest[0] != '\\' {
			if quoted && rest[0] == '"' {
				return "", badID(arg)
			}
			id, rest = append(id, rest[0]), rest[1:]
			continue
		}
		value, text, tail, err := strconv.UnquoteChar(rest, '"')
		switch {
		case err != nil:
			return "", badID(arg)
		case text:
			id = utf8.AppendRune(id, value)
		default:
			id = append(id, byte(value)) //nolint:gosec // of two or three digits
		}
		rest = tail
	}
	return string(id), nil
}

func badID(arg string) error {
	return fmt.Errorf(`%q is not escaped as ids are: write \\ for '\', \" for '"' and \xff for bytes that aren't text, `+
		`and end with a double quote what begins with one`, arg)
}

// parseChannel reads a channel's id.
func parseChannel(arg string) (string, error) {
	id, err := parseID(arg)
	if err == nil && id == "" {
		err = errors.New("a channel's id can't be empty")
	}
	return id, err
}

// parseChannels reads channels' ids.
func parseChannels(args []string) ([]string, error) {
	ids := make([]string, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = parseChannel(arg); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// namespaceFlag is a namespace as the value of a flag.
type namespaceFlag string

func (n *namespaceFlag) String() string {
	if *n == "" {
		return ""
	}
	return quoteID(string(*n))
}

func (n *namespaceFlag) Type() string { return "namespace" }

func (n *namespaceFlag) Set(arg string) error {
	id, err := parseID(arg)
	if err != nil {
		return err
	}
	if err := store.CheckNamespace(id); err != nil && id != "" { // empty: as if not given
		return err
	}
	*n = namespaceFlag(id)
	return nil
}
