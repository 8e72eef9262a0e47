package integration_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// site is a channel of busy, in a namespace of its own, and what somebody can do to it with
// the SDK alone.
type site struct {
	onAWS
	*testing.T
	namespace string
	ddb       *dynamodb.Client
	s3        *s3.Client
}

func newSite(t *testing.T, b onAWS, namespace string) *site {
	s := &site{b, t, namespace, dynamodb.NewFromConfig(cfg), newS3()}
	busy(t, b, namespace)
	return s
}

type item = map[string]types.AttributeValue

// items returns the channel's items of the state table whose sort keys begin so, in their order.
func (s *site) items(prefix string) []item {
	s.Helper()
	var all []item
	pages := dynamodb.NewQueryPaginator(s.ddb, &dynamodb.QueryInput{
		TableName: aws.String(s.names + "-state"), ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :p AND sk BETWEEN :l AND :h"),
		ExpressionAttributeValues: item{":p": text(s.pk()), ":l": text(cmp.Or(prefix, "a")), ":h": text(cmp.Or(prefix, "z") + "~")},
	})
	for pages.HasMorePages() {
		out, err := pages.NextPage(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		all = append(all, out.Items...)
	}
	if len(all) == 0 {
		s.Fatalf("no items %s… of %s", prefix, s.pk())
	}
	return all
}

func (s *site) pk() string { return s.namespace + "/%2Fgroup%2F1%2Fchat" }

// message returns the item of the latest message with the id.
func (s *site) message(id string) item {
	s.Helper()
	for _, it := range slices.Backward(s.items("m#")) {
		if string(it["i"].(*types.AttributeValueMemberB).Value) == id && it["st"] == nil {
			return it
		}
	}
	s.Fatalf("no message %q", id)
	return nil
}

// remove deletes an item of the state table.
func (s *site) remove(it item) {
	s.Helper()
	if _, err := s.ddb.DeleteItem(s.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String(s.names + "-state"), Key: item{"pk": it["pk"], "sk": it["sk"]}}); err != nil {
		s.Fatal(err)
	}
}

// change stores an item with another attribute, or without it.
func (s *site) change(table string, it item, name string, v types.AttributeValue) {
	s.Helper()
	it = maps.Clone(it)
	if it[name] = v; v == nil {
		delete(it, name)
	}
	if _, err := s.ddb.PutItem(s.Context(), &dynamodb.PutItemInput{
		TableName: aws.String(s.names + table), Item: it}); err != nil {
		s.Fatal(err)
	}
}

// flip changes a byte of an item's body.
func (s *site) flip(it item) {
	s.Helper()
	body := slices.Clone(it["b"].(*types.AttributeValueMemberB).Value)
	body[len(body)/2] ^= 1
	s.change("-state", it, "b", &types.AttributeValueMemberB{Value: body})
}

// objects returns the channel's objects of a kind.
func (s *site) objects(kind record.Kind) []store.Object {
	s.Helper()
	var all []store.Object
	for o, err := range s.archive.List(s.Context(), s.folder(kind)) {
		if err != nil {
			s.Fatal(err)
		}
		all = append(all, o)
	}
	if len(all) == 0 {
		s.Fatalf("no %s", kind)
	}
	return all
}

func (s *site) folder(kind record.Kind) string {
	return record.Folder(kind, store.Key{Namespace: s.namespace, Channel: chat})
}

// value returns the object that a large message refers to.
func (s *site) value() store.Object {
	s.Helper()
	v, err := record.MessageValue(s.message("large1")["b"].(*types.AttributeValueMemberB).Value)
	if err != nil || v == nil {
		s.Fatalf("it refers to %v, %v", v, err)
	}
	return store.Object{Name: s.folder(record.Values) + v.Name, Version: v.Version}
}

func (s *site) removeVersion(o store.Object) {
	s.Helper()
	if _, err := s.s3.DeleteObject(s.Context(), &s3.DeleteObjectInput{
		Bucket: &s.bucket, Key: &o.Name, VersionId: &o.Version}); err != nil {
		s.Fatal(err)
	}
}

// hide puts a delete marker over an object.
func (s *site) hide(o store.Object) {
	s.Helper()
	if _, err := s.s3.DeleteObject(s.Context(), &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &o.Name}); err != nil {
		s.Fatal(err)
	}
}

// put puts an object whatever there is.
func (s *site) put(name, body string) {
	s.Helper()
	if _, err := s.s3.PutObject(s.Context(), &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &name, Body: strings.NewReader(body)}); err != nil {
		s.Fatal(err)
	}
}

func (s *site) hint(id string) item {
	return item{"pk": text(s.namespace + "/" + id),
		"h": &types.AttributeValueMemberB{Value: []byte("hint")}}
}

// claim loads the channel, so that what was staged for the commit before it can't be any more.
func (s *site) claim() {
	s.Helper()
	if _, err := adapter(s.T, s.backend(), s.namespace).LoadChannel(s.Context(), chat); err != nil {
		s.Fatal(err)
	}
}

// undo stores the items again that differ from those before, and removes those that are new.
func (s *site) undo(before []item) {
	s.Helper()
	key := func(it item) string { return it["sk"].(*types.AttributeValueMemberS).Value }
	now := map[string]item{}
	for _, it := range s.items("") {
		now[key(it)] = it
	}
	for _, it := range before {
		if !reflect.DeepEqual(now[key(it)], it) {
			s.change("-state", it, "sk", it["sk"])
		}
		delete(now, key(it))
	}
	for _, it := range now {
		s.remove(it)
	}
}

// dump returns all that is stored in the state table and the bucket.
func (s *site) dump() string {
	s.Helper()
	var b strings.Builder
	for _, it := range s.items("") {
		for _, name := range slices.Sorted(maps.Keys(it)) {
			fmt.Fprintf(&b, "%s=%v ", name, it[name])
		}
		b.WriteByte('\n')
	}
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		for _, o := range s.objects(kind) {
			fmt.Fprintln(&b, o)
		}
	}
	return b.String()
}

func number(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }
func text(v string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: v} }

// TestACheckFindsEveryDamageOnAWS damages tables and bucket in one way after the other. What is
// broken stays as it is, also when a check is to repair; what is garbage is gone after that.
func TestACheckFindsEveryDamageOnAWS(t *testing.T) {
	b := resources(t, nil)
	type finding struct {
		verdict sdsaws.Verdict
		item    string // what its item begins with
		err     error
	}
	missing := func(item string) finding { return finding{sdsaws.Broken, item, sds.ErrIncomplete} }
	damaged := func(item string) finding { return finding{sdsaws.Broken, item, sds.ErrCorrupt} }
	garbage := func(item string) finding { return finding{sdsaws.Garbage, item, nil} }
	last := func(items []item) item { return items[len(items)-1] }
	var unhurt *site // may be used once more
	for i, c := range []struct {
		name    string
		inTable bool // it is undone by storing the items of the state table again
		damage  func(s *site)
		want    finding
	}{
		{"the head is gone", true, func(s *site) { s.remove(s.items("n#")[0]) }, missing("head")},
		{"a byte of the head", true, func(s *site) { s.flip(s.items("n#")[0]) }, damaged("head")},
		{"a head of another place", true, func(s *site) { s.change("-state", s.items("n#")[0], "n", number("1000")) }, damaged("head")},
		{"a head whose commit id is text", true, func(s *site) { s.change("-state", s.items("n#")[0], "c", text("x")) }, damaged("head")},
		{"a head whose offset is negative", true, func(s *site) { s.change("-state", s.items("n#")[0], "s", number("-1")) }, damaged("head")},
		{"a head without a body", true, func(s *site) { s.change("-state", s.items("n#")[0], "b", nil) }, damaged("head")},
		{"history is gone", true, func(s *site) { s.remove(s.message("m89")) }, missing("message at offset 91")},
		{"evicted history is gone", true, func(s *site) { s.remove(s.message("m40")) }, missing("message at offset 41")},
		{"a byte of history", true, func(s *site) { s.flip(s.message("m89")) }, damaged("message at offset 91")},
		{"a message whose body is text", true, func(s *site) { s.change("-state", s.message("m89"), "b", text("x")) },
			damaged("message at offset 91")},
		{"a message without an id", true, func(s *site) { s.change("-state", s.message("m40"), "i", nil) }, damaged("message at offset 41")},
		{"a message at another time", true, func(s *site) { s.change("-state", s.message("m89"), "l", number("7")) },
			damaged("message at offset 91")},
		{"a message with a fraction of a time", true, func(s *site) { s.change("-state", s.message("m89"), "l", number("1.5")) },
			damaged("message at offset 91")},
		{"a message staged under text", true, func(s *site) { s.change("-state", last(s.items("m#")), "st", text("x")) },
			damaged("message at offset")},
		{"a key that is none of a message", true, func(s *site) {
			s.change("-state", s.message("m89"), "sk", text("m#0000000000000003x"))
		}, damaged("log")},
		{"a first manifest is gone", true, func(s *site) { s.remove(s.items("s#")[0]) },
			missing("manifest of the segment from offset 0")},
		{"the last manifest is gone", true, func(s *site) { s.remove(last(s.items("s#"))) }, missing("segment 0-10-30.parquet")},
		{"a byte of a manifest", true, func(s *site) { s.flip(s.items("s#")[0]) }, damaged("manifest of the segment from offset 0")},
		{"a manifest whose end is text", true, func(s *site) { s.change("-state", s.items("s#")[1], "t", text("30")) }, damaged("manifests")},
		{"a segment is gone", false, func(s *site) { s.removeVersion(s.objects(record.Segments)[0]) }, missing("segment 0-0-10.parquet")},
		{"a segment in a new version alone", false, func(s *site) {
			o := s.objects(record.Segments)[0]
			s.put(o.Name, "another")
			s.removeVersion(o)
		}, missing("segment 0-0-10.parquet")},
		{"a segment without a manifest", false, func(s *site) { s.put(s.folder(record.Segments)+"0-30-31.parquet", "x") },
			missing("segment 0-30-31.parquet")},
		{"an object with a foreign name", false, func(s *site) { s.put(s.folder(record.Segments)+"_SUCCESS", "") }, damaged("segment _SUCCESS")},
		{"a value is gone", false, func(s *site) { s.removeVersion(s.value()) }, missing("message at offset 61")},
		{"a value in a new version alone", false, func(s *site) {
			o := s.value()
			s.removeVersion(o)
			s.put(o.Name, "another")
		}, missing("message at offset 61")},
		{"a hint that is text", false, func(s *site) { s.change("-hints", s.hint("m45"), "h", text("hint")) },
			damaged("retrieval hint of the message at offset 46")},
		{"a hint that expires at no time", false, func(s *site) { s.change("-hints", s.hint("m45"), "x", text("never")) },
			damaged("retrieval hint of the message at offset 46")},

		{"a delete marker over a segment", false, func(s *site) { s.hide(s.objects(record.Segments)[0]) }, garbage("segment 0-0-10.parquet")},
		{"a second version of a segment", false, func(s *site) { s.put(s.objects(record.Segments)[0].Name, "another") },
			garbage("segment 0-0-10.parquet")},
		{"a delete marker over a value", false, func(s *site) { s.hide(s.value()) }, garbage("value")},
		{"a second version of a value", false, func(s *site) { s.put(s.value().Name, "another") }, garbage("value")},
		{"a value of a commit that can't be", false, func(s *site) {
			s.put(s.folder(record.Values)+strings.Repeat("0", 32)+"-"+strings.Repeat("1", 32)+"-0", "x")
		}, garbage("value 0000")},
		{"what was staged before a claim", false, func(s *site) { s.claim() }, garbage("staged messages")},
		{"an archived message", false, func(s *site) { s.change("-state", s.message("m40"), "sk", text("m#0000000000000003")) },
			garbage("messages at offsets 0 to 9")},
		{"nothing", true, func(*site) {}, finding{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := unhurt
			if s == nil {
				s = newSite(t, b, fmt.Sprint("ns", i))
			}
			s.T, unhurt = t, nil
			undo := s.items("")
			c.damage(s)
			a := adapter(t, b.backend(), s.namespace)
			has := func(f sdsaws.Finding) bool {
				return f.Verdict == c.want.verdict && strings.HasPrefix(f.Item, c.want.item) && (c.want.err == nil || errors.Is(f.Err, c.want.err))
			}
			before := s.dump()
			for _, repair := range []bool{false, true} {
				got, err := a.Check(t.Context(), chat, &sdsaws.CheckOptions{Repair: repair})
				if err != nil {
					t.Fatal(err)
				}
				repaired := repair && c.want.verdict != sdsaws.Broken
				found := slices.ContainsFunc(got.Findings, has)
				if c.want.verdict == 0 {
					if len(got.Findings) > 0 || got.Pending < 151 {
						t.Errorf("repair %v: %+v", repair, got)
					}
					continue
				}
				if !found || got.Has(c.want.verdict) == repaired || len(got.Findings) > 2 {
					t.Errorf("repair %v: want %v in %+v", repair, c.want, got.Findings)
				}
			}
			if after := s.dump(); (after == before) != (c.want.verdict != sdsaws.Garbage) {
				t.Errorf("before a repair %d bytes are stored, after it %d, others: %v", len(before), len(after), after != before)
			}
			if c.inTable {
				s.undo(undo)
				unhurt = s
			}
			if c.want.verdict == sdsaws.Garbage {
				got, err := a.Check(t.Context(), chat, nil)
				if err != nil || len(got.Findings) > 0 {
					t.Errorf("after a repair: %+v, %v", got, err)
				}
				if _, err := a.LoadChannel(t.Context(), chat); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestACheckOfANamespaceOnAWS finds what is stored without a head, in the table, whose key may
// be a hash, and in the bucket; what other namespaces have is theirs.
func TestACheckOfANamespaceOnAWS(t *testing.T) {
	b := resources(t, nil)
	all := newSite(t, b, "alice")
	other := newSite(t, b, "alice2")
	other.remove(other.items("n#")[0])
	a := adapter(t, b.backend(), "alice")
	long, lost := strings.Repeat("\xff", 500), strings.Repeat("lost", 500)
	for _, id := range []string{"gone", long, lost} {
		if err := a.UpdateHistory(t.Context(), id, &sds.HistoryUpdate{Append: []sds.Message{{MessageID: "m"}}}); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256([]byte(lost))
	hash := hex.EncodeToString(sum[:])
	for _, pk := range []string{"alice/gone", "alice/:sha256:" + hash} {
		all.remove(item{"pk": text(pk), "sk": text("n#")})
	}
	all.put(record.Folder(record.Values, store.Key{Namespace: "alice", Channel: "objects"})+"x", "x")
	all.put(record.Folder(record.Segments, store.Key{Namespace: "alice", Channel: lost})+"x", "x")
	headless := []string{chat + " clean", "gone head", "objects head", long + " clean",
		" items of an unknown channel, objects under channel=sha256-" + hash}
	withHeads := []string{chat + " clean", "objects head", long + " clean", " objects under channel=sha256-" + hash}
	for heads, want := range map[bool][]string{false: headless, true: withHeads} {
		var got []string
		for c, err := range a.CheckAll(t.Context(), &sdsaws.CheckOptions{HeadsOnly: heads, Repair: true}) {
			if err != nil {
				t.Fatal(err)
			}
			var items []string
			for _, f := range c.Findings {
				items = append(items, f.Item)
				if f.Verdict != sdsaws.Broken || f.Repaired {
					t.Errorf("%+v", f)
				}
			}
			got = append(got, c.ChannelID+" "+cmp.Or(strings.Join(items, ", "), "clean"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("heads only %v: %.300q, want %.300q", heads, got, want)
		}
	}
}

// TestACheckOfABucketWithoutVersions: S3 calls the only version of an object "null" when it
// lists it, and nothing when it is put.
func TestACheckOfABucketWithoutVersions(t *testing.T) {
	b := resources(t, nil)
	b.bucket = bucket(t, false)
	b.archive = s3archive.New(newS3(), b.bucket, nil)
	busy(t, b, "alice")
	before := b.stored(t)
	a := adapter(t, b.backend(), "alice")
	c, err := a.Check(t.Context(), chat, &sdsaws.CheckOptions{Repair: true})
	if err != nil || len(c.Findings) > 0 || c.Segments < 2 || c.Values < 3 {
		t.Errorf("%+v, %v", c, err)
	}
	if after := b.stored(t); !maps.Equal(after, before) {
		t.Errorf("a repair left %v of %v", after, before)
	}
}
