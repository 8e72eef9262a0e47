package hclcheck

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions are those of Terraform that the modules use.
var functions = map[string]function.Function{
	"alltrue": allTrue, "base64encode": base64Encode, "can": tryfunc.CanFunc, "coalesce": stdlib.CoalesceFunc, "concat": stdlib.ConcatFunc,
	"contains": stdlib.ContainsFunc, "endswith": endsWith, "filebase64sha256": fileHash,
	"floor": stdlib.FloorFunc, "format": stdlib.FormatFunc, "join": stdlib.JoinFunc,
	"jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc, "keys": stdlib.KeysFunc,
	"length": length, "lookup": stdlib.LookupFunc, "merge": stdlib.MergeFunc, "one": one, "regex": stdlib.RegexFunc,
	"replace": stdlib.ReplaceFunc, "setproduct": stdlib.SetProductFunc, "split": stdlib.SplitFunc,
	"toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), "try": tryfunc.TryFunc,
	"upper": stdlib.UpperFunc, "values": stdlib.ValuesFunc,
}

func params(types ...cty.Type) (all []function.Parameter) {
	for _, t := range types {
		all = append(all, function.Parameter{Name: "x", Type: t})
	}
	return all
}

var allTrue = function.New(&function.Spec{
	Params: params(cty.List(cty.Bool)), Type: function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		for it := args[0].ElementIterator(); it.Next(); {
			if _, v := it.Element(); v.IsNull() || v.False() {
				return cty.False, nil
			}
		}
		return cty.True, nil
	},
})

var endsWith = function.New(&function.Spec{
	Params: params(cty.String, cty.String), Type: function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return cty.BoolVal(strings.HasSuffix(args[0].AsString(), args[1].AsString())), nil
	},
})

var base64Encode = function.New(&function.Spec{
	Params: params(cty.String), Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return cty.StringVal(base64.StdEncoding.EncodeToString([]byte(args[0].AsString()))), nil
	},
})

// fileHash hashes a file's name: no file is there when modules are checked.
var fileHash = function.New(&function.Spec{
	Params: params(cty.String), Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		sum := sha256.Sum256([]byte(args[0].AsString()))
		return cty.StringVal(base64.StdEncoding.EncodeToString(sum[:])), nil
	},
})

var length = function.New(&function.Spec{
	Params: params(cty.DynamicPseudoType), Type: function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if args[0].Type() == cty.String {
			return stdlib.Strlen(args[0])
		}
		if !args[0].CanIterateElements() {
			return cty.NilVal, errors.New("it has no length")
		}
		return cty.NumberIntVal(int64(args[0].LengthInt())), nil
	},
})

var one = function.New(&function.Spec{
	Params: params(cty.DynamicPseudoType), Type: func(args []cty.Value) (cty.Type, error) {
		if n := args[0].LengthInt(); n == 1 {
			it := args[0].ElementIterator()
			it.Next()
			_, v := it.Element()
			return v.Type(), nil
		} else if n > 1 {
			return cty.NilType, errors.New("more than one")
		}
		return cty.DynamicPseudoType, nil
	},
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		it := args[0].ElementIterator()
		if !it.Next() {
			return cty.NullVal(t), nil
		}
		_, v := it.Element()
		return v, nil
	},
})
