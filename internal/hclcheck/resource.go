package hclcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// meta is what Terraform itself takes in a resource.
var meta = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "count"}, {Name: "for_each"}, {Name: "depends_on"}, {Name: "provider"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "lifecycle"}},
}

func (e *Evaluated) instances(address string, block *hclsyntax.Block) (cty.Value, error) {
	content, body, diags := block.Body.PartialContent(meta)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	if a := content.Attributes["depends_on"]; a != nil {
		refs, diags := hcl.ExprList(a.Expr)
		if diags.HasErrors() {
			return cty.NilVal, diags
		}
		for _, ref := range refs {
			if err := e.declared(ref); err != nil {
				return cty.NilVal, err
			}
		}
	}
	one := func(more map[string]cty.Value) (cty.Value, error) { return e.instance(address, body, more) }
	if a := content.Attributes["count"]; a != nil {
		n, err := e.value(a.Expr)
		if err != nil {
			return cty.NilVal, err
		}
		many := []cty.Value{}
		for i := range n.AsBigFloat().Sign() { // 0 or 1, which is all that is used here
			v, err := one(map[string]cty.Value{"count": cty.ObjectVal(map[string]cty.Value{"index": cty.NumberIntVal(int64(i))})})
			if err != nil {
				return cty.NilVal, err
			}
			many = append(many, v)
		}
		return cty.TupleVal(many), nil
	}
	if a := content.Attributes["for_each"]; a != nil {
		all, err := e.value(a.Expr)
		if err != nil {
			return cty.NilVal, err
		}
		t := all.Type()
		if !all.IsKnown() || !t.IsMapType() && !t.IsObjectType() && !t.Equals(cty.Set(cty.String)) {
			return cty.NilVal, fmt.Errorf("%s: for_each over %s", a.Range, t.FriendlyName())
		}
		many := map[string]cty.Value{}
		for it := all.ElementIterator(); it.Next(); {
			k, v := it.Element()
			if many[k.AsString()], err = one(map[string]cty.Value{
				"each": cty.ObjectVal(map[string]cty.Value{"key": k, "value": v})}); err != nil {
				return cty.NilVal, err
			}
		}
		return cty.ObjectVal(many), nil
	}
	return one(nil)
}

// declared reports an error when depends_on names nothing.
func (e *Evaluated) declared(expr hcl.Expression) error {
	ref, diags := hcl.AbsTraversalForExpr(expr)
	if diags.HasErrors() {
		return diags
	}
	var names []string
	for _, step := range ref[1:] {
		if attr, ok := step.(hcl.TraverseAttr); ok {
			names = append(names, attr.Name)
		}
	}
	address := strings.Join(slices.Insert(names, 0, ref.RootName()), ".")
	_, isResource := e.module.Resources[address]
	_, isCall := e.module.calls[strings.TrimPrefix(address, "module.")]
	if !isResource && !isCall {
		return fmt.Errorf("%s: no %s", expr.Range(), address)
	}
	return nil
}

func (e *Evaluated) instance(address string, body hcl.Body, more map[string]cty.Value) (cty.Value, error) {
	kind := address[:strings.LastIndex(address, ".")]
	block := e.schema.Types[kind]
	if block == nil {
		return cty.NilVal, fmt.Errorf("%s: %s isn't in schema.json: go generate ./internal/hclcheck", address, kind)
	}
	spec, err := block.spec()
	if err != nil {
		return cty.NilVal, fmt.Errorf("%s: %w", kind, err)
	}
	ctx, err := e.context(dynblock.VariablesHCLDec(body, spec), more)
	if err != nil {
		return cty.NilVal, err
	}
	v, diags := hcldec.Decode(dynblock.Expand(body, ctx), spec, ctx)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	if err := block.notNull(address, v); err != nil {
		return cty.NilVal, err
	}
	return made(kind, address, block, v)
}

// notNull finds required arguments that are null.
func (b *Block) notNull(where string, v cty.Value) error {
	for name, a := range b.Args {
		if a.Required && v.GetAttr(name).IsNull() {
			return fmt.Errorf("%s: %s is null", where, name)
		}
	}
	for name, nested := range b.Blocks {
		for it := v.GetAttr(name).ElementIterator(); it.Next(); {
			_, element := it.Element()
			if err := nested.notNull(where+"."+name, element); err != nil {
				return err
			}
		}
	}
	return nil
}
