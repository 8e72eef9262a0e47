package terraform_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/zclconf/go-cty/cty"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/internal/hclcheck"
)

// table is what has to be the same of a table.
type table struct {
	keys, attributes, indexes []string
	ttl                       string
}

func (x table) String() string {
	return fmt.Sprintf("%+v", [4]any{x.keys, x.attributes, x.indexes, x.ttl})
}

// inCode is a table as package dynamo makes and uses it.
func inCode(in *dynamodb.CreateTableInput, ttl string) table {
	keys := func(schema []types.KeySchemaElement) (all []string) {
		for _, k := range schema {
			all = append(all, fmt.Sprint(*k.AttributeName, " ", k.KeyType))
		}
		return all
	}
	x := table{keys: keys(in.KeySchema), ttl: ttl}
	for _, a := range in.AttributeDefinitions {
		x.attributes = append(x.attributes, fmt.Sprint(*a.AttributeName, " ", a.AttributeType))
	}
	for _, i := range in.GlobalSecondaryIndexes {
		x.indexes = append(x.indexes, fmt.Sprint(*i.IndexName, " ", keys(i.KeySchema), " ", i.Projection.ProjectionType))
	}
	slices.Sort(x.attributes)
	return x
}

// inTerraform is a table as a module makes it.
func inTerraform(v cty.Value) table {
	keys := func(v cty.Value) []string {
		all := []string{str(v, "hash_key") + " HASH"}
		if r := str(v, "range_key"); r != "" {
			all = append(all, r+" RANGE")
		}
		return all
	}
	x := table{keys: keys(v)}
	for _, a := range blocks(v, "attribute") {
		x.attributes = append(x.attributes, str(a, "name")+" "+str(a, "type"))
	}
	for _, i := range blocks(v, "global_secondary_index") {
		x.indexes = append(x.indexes, fmt.Sprint(str(i, "name"), " ", keys(i), " ", str(i, "projection_type")))
	}
	for _, ttl := range blocks(v, "ttl") {
		if ttl.GetAttr("enabled").True() {
			x.ttl = str(ttl, "attribute_name")
		}
	}
	slices.Sort(x.attributes)
	return x
}

func blocks(v cty.Value, name string) (all []cty.Value) {
	for it := v.GetAttr(name).ElementIterator(); it.Next(); {
		_, b := it.Element()
		all = append(all, b)
	}
	return all
}

func str(v cty.Value, name string) string {
	if a := v.GetAttr(name); !a.IsNull() {
		return a.AsString()
	}
	return ""
}

// tablesDiffer says what a module's tables have that the code's don't, or the other way round.
func tablesDiffer(e *hclcheck.Evaluated, state, hints table) string {
	for name, want := range map[string]table{"state": state, "hints": hints} {
		if got := inTerraform(e.Resources["aws_dynamodb_table."+name]); got.String() != want.String() {
			return fmt.Sprintf("%s is %v, the code uses %v", name, got, want)
		}
	}
	return ""
}

func codeTables() (state, hints table) {
	return inCode(dynamo.StateTable("x"), ""), inCode(dynamo.HintsTable("x"), dynamo.HintsTTL)
}

// TestTablesAreThoseOfTheCode: keys, their types, the index and the TTL attribute.
func TestTablesAreThoseOfTheCode(t *testing.T) {
	state, hints := codeTables()
	if d := tablesDiffer(must(t, tree(t), nil), state, hints); d != "" {
		t.Error(d)
	}
	t.Logf("terraform-test: 2 tables with %d keys, 1 index and 1 TTL attribute are those of the code", len(state.keys)+len(hints.keys))
}

func TestATableThatDiffersIsFound(t *testing.T) {
	const file = "modules/sdsaws/tables.tf"
	for name, c := range map[string]struct{ before, after string }{
		"a key":               {`range_key                   = "sk"`, `range_key = "ns"`},
		"the type of a key":   {"name = \"sk\"\n    type = \"S\"", "name = \"sk\"\n    type = \"B\""},
		"the index":           {`name            = "channels"`, `name = "channel"`},
		"the index's key":     {`hash_key        = "ns"`, `hash_key = "sk"`},
		"the projection":      {`"KEYS_ONLY"`, `"ALL"`},
		"the TTL attribute":   {`attribute_name = "x"`, `attribute_name = "ttl"`},
		"TTL is switched off": {"attribute_name = \"x\"\n    enabled        = true", "attribute_name = \"x\"\n    enabled = false"},
	} {
		t.Run("in Terraform, "+name, func(t *testing.T) {
			state, hints := codeTables()
			if tablesDiffer(must(t, edited(t, file, c.before, c.after), nil), state, hints) == "" {
				t.Error("not found")
			}
		})
	}
	for name, change := range map[string]func(state, hints *dynamodb.CreateTableInput) (ttl string){
		"a key": func(state, _ *dynamodb.CreateTableInput) string {
			state.KeySchema[1].AttributeName = aws.String("order")
			return dynamo.HintsTTL
		},
		"the index": func(state, _ *dynamodb.CreateTableInput) string {
			state.GlobalSecondaryIndexes[0].IndexName = aws.String("heads")
			return dynamo.HintsTTL
		},
		"one more key": func(_, hints *dynamodb.CreateTableInput) string {
			hints.KeySchema = append(hints.KeySchema, types.KeySchemaElement{AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange})
			return dynamo.HintsTTL
		},
		"the TTL attribute": func(_, _ *dynamodb.CreateTableInput) string { return "expires" },
	} {
		t.Run("in the code, "+name, func(t *testing.T) {
			state, hints := dynamo.StateTable("x"), dynamo.HintsTable("x")
			ttl := change(state, hints)
			if tablesDiffer(must(t, tree(t), nil), inCode(state, ""), inCode(hints, ttl)) == "" {
				t.Error("not found")
			}
		})
	}
}
