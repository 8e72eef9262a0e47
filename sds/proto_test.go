package sds

import (
	"bytes"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// TestProtoDescribesTheEncoding reads our bytes as sds.proto has them, with a protobuf
// library: it knows every field, and writes the same bytes from what it has read.
func TestProtoDescribesTheEncoding(t *testing.T) {
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}}
	files, err := compiler.Compile(t.Context(), "sds.proto")
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]int{}
	for _, v := range readVectors(t, "vectors.jsonl.zst") {
		if v.Kind != "encode" || v.Decode == "panic" {
			continue
		}
		ours, err := v.from(t, v.Value).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		described := files[0].Messages().ByName(protoreflect.Name(v.Type))
		if described == nil {
			t.Fatalf("sds.proto has no message %s", v.Type)
		}
		m := dynamicpb.NewMessage(described)
		if err := proto.Unmarshal(ours, m); err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("%s: protobuf wrote %x, %v, we %x", v.Name, theirs, err, ours)
		}
		if name := unknown(m); name != "" {
			t.Errorf("%s: %s has a field that sds.proto lacks", v.Name, name)
		}
		checked[v.Type]++
	}
	for _, typ := range []string{"HistoryEntry", "SdsMessage", "ChannelMeta", "ChannelData", "HistoryUpdate"} {
		if checked[typ] == 0 {
			t.Errorf("no %s was checked", typ)
		}
	}
}

// unknown returns the name of a message within m that has unknown fields.
func unknown(m protoreflect.Message) (name string) {
	if len(m.GetUnknown()) > 0 {
		return string(m.Descriptor().FullName())
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				name = max(name, unknown(v.List().Get(i).Message()))
			}
		default:
			name = unknown(v.Message())
		}
		return name == ""
	})
	return name
}
