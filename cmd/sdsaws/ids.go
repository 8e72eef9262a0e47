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
const idHelp = `Ids of channels and messages and namespaces are arbitrary bytes. They are shown as
Go-quoted strings, such as "/group/1/chat" or "\xff\x00id". They are accepted as they are or,
when the argument begins with a double quote, as such a string, so that what is shown can be
given back; keep the shell off it with single quotes: '"\xff\x00id"'.`

// quoteID shows an id.
func quoteID(id string) string { return strconv.Quote(id) }

// parseID reads an id from the command line.
func parseID(arg string) (string, error) {
	if !strings.HasPrefix(arg, `"`) {
		return arg, nil
	}
	id, err := strconv.Unquote(arg)
	if err != nil || !utf8.ValidString(arg) { // Unquote would replace what isn't UTF-8
		return "", fmt.Errorf(`%q begins with a double quote but is no Go-quoted string: `+
			`end it with one, and write \" for '"', \\ for '\' and \xff for bytes that aren't text`, arg)
	}
	return id, nil
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
