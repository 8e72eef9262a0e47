package terraform_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/sdsaws/sdsaws/internal/hclcheck"
)

// whole returns all arguments of a resource that are set, without what AWS adds: of one with
// for_each by its keys, of one with count as a list. JSON in strings is read.
func whole(t *testing.T, e *hclcheck.Evaluated, address string) any {
	t.Helper()
	v, ok := e.Resources[address]
	if !ok {
		t.Fatalf("no %s", address)
	}
	block := schema(t).Types[address[:strings.LastIndex(address, ".")]]
	switch {
	case v.Type().IsTupleType():
		all := []any{}
		for _, one := range v.AsValueSlice() {
			all = append(all, resource(block, one))
		}
		return all
	case !v.Type().HasAttribute("id"): // which each resource has
		all := map[string]any{}
		for key, one := range v.AsValueMap() {
			all[key] = resource(block, one)
		}
		return all
	}
	return resource(block, v)
}

func resource(block *hclcheck.Block, v cty.Value) map[string]any {
	all := arguments(block, v)
	delete(all, "id") // AWS adds it
	return all
}

func arguments(block *hclcheck.Block, v cty.Value) map[string]any {
	all := map[string]any{}
	for name := range block.Args {
		if a := plain(v.GetAttr(name)); a != nil {
			all[name] = a
		}
	}
	for name, nested := range block.Blocks {
		var inner []any
		for _, b := range blocks(v, name) {
			inner = append(inner, arguments(nested, b))
		}
		if inner != nil {
			all[name] = inner
		}
	}
	return all
}

// plain is a value as encoding/json reads it; nil is what isn't set, and empty lists and maps.
func plain(v cty.Value) any {
	switch t := v.Type(); {
	case v.IsNull() || !v.IsKnown():
		return nil
	case t == cty.String:
		var decoded map[string]any
		if json.Unmarshal([]byte(v.AsString()), &decoded) == nil {
			return decoded
		}
		return v.AsString()
	case t == cty.Bool:
		return v.True()
	case t == cty.Number:
		f, _ := new(big.Float).Set(v.AsBigFloat()).Float64()
		return f
	case v.LengthInt() == 0:
		return nil
	case t.IsMapType() || t.IsObjectType():
		all := map[string]any{}
		for name, inner := range v.AsValueMap() {
			all[name] = plain(inner)
		}
		return all
	}
	var all []any
	for _, inner := range v.AsValueSlice() {
		all = append(all, plain(inner))
	}
	return all
}

// differences says which resources aren't, as a whole, what they have to be, by their addresses.
func differences(t *testing.T, e *hclcheck.Evaluated, want map[string]string) (found []string) {
	t.Helper()
	for _, address := range slices.Sorted(maps.Keys(want)) {
		if d := differs(t, whole(t, e, address), want[address]); d != "" {
			found = append(found, address+" is\n"+d)
		}
	}
	return found
}

func differs(t *testing.T, got any, want string) string {
	t.Helper()
	var wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	if reflect.DeepEqual(got, wanted) {
		return ""
	}
	return fmt.Sprintf("%s\nwant\n%s", inJSON(t, got), inJSON(t, wanted))
}

func inJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// edit is a change of one file.
type edit struct{ file, before, after string }

// finds holds a check, which returns what is wrong, against the modules as they are, and against
// edits, in each of which it has to find something.
func finds(t *testing.T, check func(t *testing.T, all fs.FS) []string, edits map[string]edit) {
	t.Helper()
	for _, wrong := range check(t, tree(t)) {
		t.Error(wrong)
	}
	for name, c := range edits {
		if len(check(t, edited(t, c.file, c.before, c.after))) == 0 {
			t.Errorf("%s isn't found", name)
		}
	}
	t.Logf("terraform-test: %s: %d edits are found", t.Name(), len(edits))
}
