package record

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// safe is what every reader of object names leaves as it is.
var safe = regexp.MustCompile(`^[A-Za-z0-9=/._-]+$`)

// FuzzNamesNeverMeet holds what access by prefix rests on: no two channels share a folder, none lies
// in another's or in another namespace's, whatever bytes their ids hold; and no segment has the
// name of another.
func FuzzNamesNeverMeet(f *testing.F) {
	long := strings.Repeat("x", 101) // the first that is hashed
	hashed := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "sha256-" + hex.EncodeToString(sum[:])
	}
	sum, _ := hex.DecodeString(strings.TrimPrefix(hashed(long), "sha256-"))
	for _, s := range [][4]string{
		{"a", "b", "a", "bc"}, {"a", "b", "ab", ""}, {"a", "/channel=62", "a/channel=62", ""}, {"a", "", "a", "\x00"},
		{"a", "..", "a", "."}, {"a", "A", "a", "a"}, {"\xff", "\xfe", "\xff\xfe", ""}, {"a", "61", "a", "a"},
		{"a", long, "a", long + "x"}, {"a", long, "a", long[1:]}, {long, "a", long + "x", "a"},
		{long + long[:24], "a", "a", long + long[:24]}, // 250 hex digits, and no room for "channel="
		// An id that is the hashed form of another, as text and as the bytes that it is the hex of.
		{"a", long, "a", hashed(long)}, {"a", long, "a", string(sum)}, {long, "a", hashed(long), "a"},
		{"a", hashed(long), "a", hashed(hashed(long))},
	} {
		f.Add(s[0], s[1], s[2], s[3], uint64(0), uint64(1), uint64(23), uint64(4))
	}
	f.Add("a", "c", "a", "c", uint64(1), uint64(1), uint64(11), uint64(1))
	f.Fuzz(func(t *testing.T, ns1, channel1, ns2, channel2 string, origin1, from1, origin2, from2 uint64) {
		one, two := store.Key{Namespace: ns1, Channel: channel1}, store.Key{Namespace: ns2, Channel: channel2}
		var all []string
		for _, kind := range []Kind{Segments, Values} {
			folders := map[string]bool{}
			for _, k := range []store.Key{one, two} {
				folder := Folder(kind, k)
				if !safe.MatchString(folder) || strings.Contains(folder, "//") || strings.Contains(folder, "/.") {
					t.Fatalf("%+v has the folder %q", k, folder)
				}
				if len(folder) > 1000-100 {
					t.Fatalf("a folder of %d bytes leaves no room for names", len(folder))
				}
				for part := range strings.SplitSeq(folder, "/") {
					if len(part) > 250 {
						t.Fatalf("a part of %d bytes", len(part))
					}
				}
				if !strings.HasPrefix(folder, NamespaceFolder(kind, k.Namespace)) {
					t.Fatalf("%q does not lie in its namespace's folder", folder)
				}
				if id, ok := FolderChannel(ChannelFolder(k.Channel)); ok && id != k.Channel {
					t.Fatalf("the folder of %q is taken for that of %q", k.Channel, id)
				}
				folders[folder] = true
				all = append(all, folder)
			}
			if one != two && len(folders) == 1 {
				t.Fatalf("%+v and %+v share a folder", one, two)
			}
			if strings.HasPrefix(Folder(kind, two), NamespaceFolder(kind, ns1)) != (ns1 == ns2) {
				t.Fatalf("a channel of %q lies in the folder of %q", ns2, ns1)
			}
		}
		for i, inner := range all {
			for j, outer := range all {
				if inner != outer && strings.HasPrefix(inner, outer) {
					t.Fatalf("folder %d %q lies in folder %d %q", i, inner, j, outer)
				}
			}
		}
		name := func(origin, from uint64) string {
			return (&Manifest{Origin: origin}).Name(store.Segment{From: from, To: from + 1})
		}
		n1, n2 := name(origin1, from1), name(origin2, from2)
		if same := origin1 == origin2 && from1 == from2; (n1 == n2) != same || !safe.MatchString(n1) || strings.Contains(n1, "/") {
			t.Fatalf("segments of %d, %d and %d, %d are called %q and %q", origin1, from1, origin2, from2, n1, n2)
		}
	})
}
