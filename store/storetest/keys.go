package storetest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/sdsaws/sdsaws/store"
)

// hostile returns names of arbitrary bytes that are easily mixed up: by joining,
// escaping, folding, cutting or hashing them.
func hostile() []string {
	names := []string{
		"", "a", "A", "b", "ab", "a\x00", "\x00", "\x00\x00", "a\x00b", " ", "a ", "\n",
		"\xff", "\xff\xff", "\xc3\x28", "é", "e\u0301", "\ufffd",
		"/", "a/", "/a", "a/b", "//", ".", "..", "../a", "\\", "%", "%%", "%2F", "%2f", "%25", "%252F",
		"%00", "#", "a#", "#a", "~", "~a", "a~b", "*", "?", "_", "-", ":", "'", "\"", "'; --",
		"m#0000000000000000", "n#", "head", "+", "=", "null", "0", "1", "01", string(everyByte()),
	}
	for _, n := range []int{1024, 2048, 100 << 10} {
		long := strings.Repeat("x", n)
		names = append(names, long, long[1:], long+"x", long[1:]+"y", "y"+long[1:],
			strings.Repeat("\xfe", n))
		sum := sha256.Sum256([]byte(long))
		names = append(names, string(sum[:]), hex.EncodeToString(sum[:]),
			strings.ToUpper(hex.EncodeToString(sum[:])), base64.RawURLEncoding.EncodeToString(sum[:]))
		for _, prefix := range []string{"#", "~", "%", "!", "sha256-", "sha256:", "sha256~", "h#", "x"} {
			names = append(names, prefix+hex.EncodeToString(sum[:]))
		}
	}
	return names
}

// colliding returns namespaces and names under them that look alike when they are put
// together.
func colliding(ns string) map[store.Key]bool {
	keys := map[store.Key]bool{}
	for _, sep := range []string{"/", "#", "~", "%", "%2F", "\x00", ":", "|", "-", ".", " ", "\\", ","} {
		for _, k := range []store.Key{
			{Namespace: ns, Channel: "a" + sep + "b"}, {Namespace: ns + sep + "a", Channel: "b"},
			{Namespace: ns + sep, Channel: "b"}, {Namespace: ns, Channel: sep + "b"},
			{Namespace: ns + sep + sep, Channel: ""}, {Namespace: ns + sep, Channel: sep},
			{Namespace: ns, Channel: sep + sep},
		} {
			keys[k] = true
		}
	}
	keys[store.Key{Namespace: ns + "a", Channel: "b"}] = true
	keys[store.Key{Namespace: ns, Channel: "ab"}] = true
	keys[store.Key{Namespace: strings.ToLower(ns), Channel: "ab"}] = true
	long := ns + strings.Repeat("é", (store.MaxNamespace-len(ns))/2)
	keys[store.Key{Namespace: long, Channel: "a"}] = true
	keys[store.Key{Namespace: long[:len(long)-2], Channel: "a"}] = true
	keys[store.Key{Namespace: long[:len(long)-2], Channel: "éa"}] = true
	return keys
}

// each calls f for each of all, several at a time.
func each[T any](all []T, f func(T)) {
	var group sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, v := range all {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			f(v)
		})
	}
	group.Wait()
}

// apart fills the channel of every key and checks that each has its own.
func (c *channel) apart(keys map[store.Key]bool) {
	var all []*channel
	for k := range keys {
		all = append(all, newChannel(c.T, c.log, k))
	}
	ctx := c.Context()
	each(all, func(o *channel) {
		head, messages := newHead(0, 3), newMessages(0, 3)
		if err := o.log.Commit(ctx, o.key, store.CommitID{}, head, messages); err != nil {
			o.Errorf("first commit to %.20q, %.60q (%d bytes): %v",
				o.key.Namespace, o.key.Channel, len(o.key.Channel), err)
			return
		}
		o.apply(head, messages)
	})
	if c.Failed() {
		return
	}
	for i, o := range all {
		if i%3 == 0 {
			o.remove(1, math.MaxUint64)
		}
		o.check()
	}
}

var keyTests = []logTest{
	{"HostileChannels", func(c *channel) {
		keys := map[store.Key]bool{}
		for _, name := range hostile() {
			keys[store.Key{Namespace: c.key.Namespace, Channel: name}] = true
		}
		c.apart(keys)
	}},
	{"CollidingKeys", func(c *channel) { c.apart(colliding(c.key.Namespace)) }},
	{"HostileMessageIDs", func(c *channel) {
		// Ids don't name messages: two may have the same one.
		var messages []store.Message
		commit := func() {
			c.commit(newHead(0, uint64(len(c.messages)+len(messages))), messages)
			messages = nil
		}
		for i, id := range slices.Concat(hostile(), []string{"a", "a"}) {
			m := newMessage(uint64(i), 20) //nolint:gosec // small
			m.ID = id
			if messages = append(messages, m); len(messages) == 20 {
				commit()
			}
		}
		commit()
		c.check()
		c.checkMessages(slices.Collect(maps.Keys(c.messages)))
	}},
}
