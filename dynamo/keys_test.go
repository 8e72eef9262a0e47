package dynamo

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws/store"
)

// FuzzKeysNeverMeet holds what access by key rests on: two channels, or two hints, share a key only
// when they are the same, whatever bytes their names hold; a policy that allows a namespace's
// keys (docs/security.md) matches all of them and none of another namespace; and DynamoDB takes
// each key.
func FuzzKeysNeverMeet(f *testing.F) {
	long := strings.Repeat("x", 3000)
	for _, s := range [][4]string{
		{"a", "b/c", "a/b", "c"}, {"a", "%2F", "a", "/"}, {"a", "", "a", "\x00"},
		{"a", long, "a", long + "x"}, {"a/b", "c", "a", "b%2Fc"}, {"\xff", "\xfe", "\xff\xfe", ""},
		// A name that is the hashed form of another, escaped or not; a namespace that is.
		{"a", long, "a", hash(long)}, {"a", long, "a", escape(hash(long))}, {"a", long, "a/" + hash(long), ""},
		{"a", hash(long), "a", hash(hash(long))}, {"a", long[:len(long)-1], "a", hash(long)},
		// Around the limits of both tables, where one byte escapes to three.
		{"a", long[:1022], "a", long[:1023]}, {"a", strings.Repeat("/", 341), "a", strings.Repeat("%2F", 341)},
		{"a", long[:2046], "a", long[:2047]}, {strings.Repeat("\xff", 256), long, strings.Repeat("\xff", 255), long},
		// What policies read: wildcards, variables, the delimiter.
		{"a", "c", "a/", "c"}, {"a", "c", "A", "c"}, {"${aws:username}", "*", "a", "?"}, {"a%2F", "c", "a/", "c"},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, ns1, name1, ns2, name2 string) {
		if store.CheckNamespace(ns1) != nil || store.CheckNamespace(ns2) != nil {
			return
		}
		same := ns1 == ns2 && name1 == name2
		for _, kind := range []struct {
			key   func(ns, name string) string
			limit int
		}{{channelsKey, 1024}, {hintsKey, 2048}} {
			one, two := kind.key(ns1, name1), kind.key(ns2, name2)
			if (one == two) != same {
				t.Fatalf("(%q, %q) and (%q, %q) have keys %q and %q", ns1, name1, ns2, name2, one, two)
			}
			if len(one) > kind.limit {
				t.Fatalf("key of %d bytes, DynamoDB takes %d", len(one), kind.limit)
			}
			if i := strings.IndexFunc(one, func(r rune) bool { return r <= ' ' || r > '~' }); i >= 0 {
				t.Fatalf("%q is not printable ASCII", one)
			}
			if !allowed(ns1, one) || allowed(ns1, two) != (ns1 == ns2) {
				t.Fatalf("a policy for %q allows %q: %v, and %q: %v", ns1, one, allowed(ns1, one), two, allowed(ns1, two))
			}
		}
		if indexed := headItem(store.Key{Namespace: ns2}, &store.Head{})[attrNamespace]; (indexed.(*types.AttributeValueMemberS).Value == escape(ns1)) != (ns1 == ns2) {
			t.Fatalf("%q and %q share a key of the index", ns1, ns2)
		}
	})
}

// channelsKey and hintsKey return the partition keys under which items are really written.
func channelsKey(ns, name string) string {
	return headItem(store.Key{Namespace: ns, Channel: name}, &store.Head{})[attrPK].(*types.AttributeValueMemberS).Value
}

func hintsKey(ns, name string) string {
	return hintItem(ns, store.Hint{MessageID: name}, time.Time{})[attrPK].(*types.AttributeValueMemberS).Value
}

// allowed reports whether the policy of a namespace, "<namespace, escaped>/*" for
// dynamodb:LeadingKeys, matches a key as IAM's StringLike does.
func allowed(namespace, key string) bool { return like(escape(namespace)+"/*", key) }

// like is IAM's StringLike: '*' is any bytes, '?' any one, all else itself.
func like(pattern, s string) bool {
	for ; pattern != ""; pattern, s = pattern[1:], s[1:] {
		switch {
		case pattern[0] == '*':
			for i := range len(s) + 1 {
				if like(pattern[1:], s[i:]) {
					return true
				}
			}
			return false
		case s == "" || pattern[0] != '?' && pattern[0] != s[0]:
			return false
		}
	}
	return s == ""
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"a/*", "a/", true}, {"a/*", "a/b/c", true}, {"a/*", "a", false}, {"a/*", "ab/c", false}, {"a/*", "A/b", false},
		{"a*/*", "ab/c", true}, {"?/*", "b/c", true}, {"?/*", "bb/c", false}, {"", "", true}, {"", "a", false},
	} {
		if got := like(c.pattern, c.s); got != c.want {
			t.Errorf("%q like %q: %v", c.s, c.pattern, got)
		}
	}
}

// TestAHashedNameIsNoChannelsName: a channel may be called like the hash of another.
func TestAHashedNameIsNoChannelsName(t *testing.T) {
	hashed, ok := partition("ns", strings.Repeat("x", 2000), maxKey)
	if !ok {
		t.Fatal("a name of 2000 bytes was not hashed")
	}
	name := strings.TrimPrefix(hashed, "ns/")
	if literal, _ := partition("ns", name, maxKey); literal == hashed {
		t.Fatalf("the channel %q has the key of another", name)
	}
}

// TestSortKeysAreInOrder is what a load relies on: backwards, the head comes first and
// then the messages from the newest on.
func TestSortKeysAreInOrder(t *testing.T) {
	keys := []string{messageKey(0), messageKey(9), messageKey(10), messageKey(1 << 40), messageKey(1<<64 - 1), headKey}
	if !slices.IsSorted(keys) {
		t.Fatalf("%q are not in order", keys)
	}
	for _, o := range []uint64{0, 9, 10, 1 << 40, 1<<64 - 1} {
		if got, err := keyOffset(messagePrefix, messageKey(o)); err != nil || got != o {
			t.Errorf("offset %d came back as %d, %v", o, got, err)
		}
	}
	for _, bad := range []string{"", "m#", "m#1", "n#", "m#00000000000000fF", "m#0000000000000001x", "s#0000000000000001"} {
		if _, err := keyOffset(messagePrefix, bad); !errors.Is(err, store.ErrMalformed) {
			t.Errorf("%q: %v, want ErrMalformed", bad, err)
		}
	}
}
