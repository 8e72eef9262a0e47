package dynamo

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// listed collects what a listing of channels yields: ids, and "malformed" for each that can't be
// known.
func listed(t *testing.T, list func(yield func(string, error) bool)) (names []string) {
	t.Helper()
	for name, err := range list {
		switch {
		case errors.Is(err, store.ErrMalformed):
			name = "malformed"
		case err != nil:
			name = "failed"
		}
		names = append(names, name)
	}
	return names
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func keysOf(pks ...string) string {
	items := make([]string, len(pks))
	for i, pk := range pks {
		items[i] = fmt.Sprintf(`{"pk":{"S":%q}}`, pk)
	}
	return `"Items":[` + strings.Join(items, ",") + `]`
}

// TestStoredScansAllPages: a filtered page may be empty and not the last, the items of a channel
// come once though they lie on two pages, and what names no channel stops nothing.
func TestStoredScansAllPages(t *testing.T) {
	long := strings.Repeat("\xff", 400)
	hashed := "ns/" + hash(long)
	lost := "ns/" + hashedName + strings.Repeat("0", 64)
	next := func(pk string) string {
		return fmt.Sprintf(`,"LastEvaluatedKey":{"pk":{"S":%q},"sk":{"S":"n#"}}`, pk)
	}
	named := func(name string) string { return fmt.Sprintf(`{"Item":{"k":{"B":%q}}}`, b64(name)) }
	s := &stub{answers: []string{
		`{"Items":[]` + next("other/a") + `}`,
		`{` + keysOf("ns/a%2F", "ns/a%2F", "ns/a%2F") + next("ns/a%2F") + `}`,
		`{` + keysOf("ns/a%2F", "ns/b", lost, lost, "ns/%zz", "ns/%41", "ns/", hashed) + `,"ConsumedCapacity":{"CapacityUnits":7.5}}`,
		`{}`, // no head under the lost hash
		named(long),
	}}
	units := 0
	log := NewLog(s.client(t), "state", &Options{OnUsage: func(u Usage) { units += u.ReadUnits }})
	got := listed(t, log.Stored(t.Context(), "ns"))
	if want := []string{"a/", "b", "malformed", "malformed", "malformed", "", long}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if units < 8 {
		t.Errorf("%d read units, want the 7.5 of the scan", units)
	}
	for i, r := range s.requests[:3] {
		from, _ := r.body["ExclusiveStartKey"].(map[string]any)
		if r.operation != "Scan" || r.body["ConsistentRead"] != true || (from == nil) != (i == 0) ||
			!strings.Contains(fmt.Sprint(r.body["ExpressionAttributeValues"]), "ns/") {
			t.Errorf("request %d: %+v", i, r)
		}
	}
}

// TestAHashedNameMustFit: a head that says another name than its key is hashed from names no
// channel.
func TestAHashedNameMustFit(t *testing.T) {
	pk := "ns/" + hash(strings.Repeat("x", 2000))
	for _, name := range []string{`{"k":{"B":"` + b64("another") + `"}}`, `{"k":{"S":"text"}}`, `{}`} {
		for what, list := range map[string]func(*Log) func(func(string, error) bool){
			"Stored":   func(l *Log) func(func(string, error) bool) { return l.Stored(t.Context(), "ns") },
			"Channels": func(l *Log) func(func(string, error) bool) { return l.Channels(t.Context(), "ns") },
		} {
			s := &stub{answers: []string{`{` + keysOf(pk, "ns/next") + `}`, `{"Item":` + name + `}`}}
			got := listed(t, list(NewLog(s.client(t), "state", nil)))
			if want := []string{"malformed", "next"}; !slices.Equal(got, want) {
				t.Errorf("%s, %s: %q, want %q", what, name, got, want)
			}
		}
	}
}

// TestAScanThatFailsEnds: after an error that is not about one channel nothing follows.
func TestAScanThatFailsEnds(t *testing.T) {
	s := &stub{answers: []string{
		`{` + keysOf("ns/a") + `,"LastEvaluatedKey":{"pk":{"S":"ns/a"},"sk":{"S":"n#"}}}`,
		fmt.Sprintf(exception, "AccessDeniedException", ""),
	}}
	got := listed(t, NewLog(s.client(t), "state", nil).Stored(t.Context(), "ns"))
	if want := []string{"a", "failed"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestMalformedItemsAreNamed: an error says which message or segment it is about.
func TestMalformedItemsAreNamed(t *testing.T) {
	s := &stub{answers: []string{
		`{"Items":[{"pk":{"S":"ns/channel"},"sk":{"S":"m#000000000000001f"},"i":{"S":"aQ=="},"l":{"N":"4"},"b":{"B":"Yg=="}}]}`,
		`{"Items":[{"pk":{"S":"ns/channel"},"sk":{"S":"s#000000000000001f"},"t":{"S":"40"},"b":{"B":"Yg=="}}]}`,
	}}
	log := NewLog(s.client(t), "state", nil)
	_, _, err := log.Page(t.Context(), key, 0, 100)
	if !errors.Is(err, store.ErrMalformed) || !strings.Contains(err.Error(), "message at offset 31") {
		t.Error(err)
	}
	_, err = log.Segments(t.Context(), key, 0, 100)
	if !errors.Is(err, store.ErrMalformed) || !strings.Contains(err.Error(), "segment from offset 31") {
		t.Error(err)
	}
}
