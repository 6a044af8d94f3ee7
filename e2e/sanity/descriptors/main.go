// Prints, as JSON, what the protocols' own Go packages say of their messages, enumerations and services: every name, number, type and
// label. A test compares it with the description that the driver speaks from.
package main

import (
	"encoding/json"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

type field struct {
	Name     string `json:"name"`
	Number   int    `json:"number"`
	Type     string `json:"type"`
	Label    string `json:"label"`
	Oneof    string `json:"oneof"`
	IsSecret bool   `json:"isSecret"`
}

type method struct {
	Name     string `json:"name"`
	Request  string `json:"request"`
	Response string `json:"response"`
	IsStream bool   `json:"isStream"`
}

type descriptors struct {
	Messages map[string][]field        `json:"messages"`
	Enums    map[string]map[string]int `json:"enums"`
	Services map[string][]method       `json:"services"`
}

func main() {
	found := descriptors{map[string][]field{}, map[string]map[string]int{}, map[string][]method{}}
	samples := []proto.Message{&csi.Topology{}, &registration.PluginInfo{}, &timestamppb.Timestamp{}, &wrapperspb.BoolValue{}}
	for _, sample := range samples {
		file := sample.ProtoReflect().Descriptor().ParentFile()
		found.addMessages(file.Messages())
		found.addEnums(file.Enums())
		found.addServices(file.Services())
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(found); err != nil {
		panic(err)
	}
}

func (found descriptors) addMessages(messages protoreflect.MessageDescriptors) {
	for i := range messages.Len() {
		message := messages.Get(i)
		if message.IsMapEntry() {
			continue
		}
		fields := []field{}
		for j := range message.Fields().Len() {
			fields = append(fields, describe(message.Fields().Get(j)))
		}
		found.Messages[string(message.FullName())] = fields
		found.addMessages(message.Messages())
		found.addEnums(message.Enums())
	}
}

func (found descriptors) addEnums(enums protoreflect.EnumDescriptors) {
	for i := range enums.Len() {
		values := map[string]int{}
		for j := range enums.Get(i).Values().Len() {
			value := enums.Get(i).Values().Get(j)
			values[string(value.Name())] = int(value.Number())
		}
		found.Enums[string(enums.Get(i).FullName())] = values
	}
}

func (found descriptors) addServices(services protoreflect.ServiceDescriptors) {
	for i := range services.Len() {
		methods := []method{}
		for j := range services.Get(i).Methods().Len() {
			m := services.Get(i).Methods().Get(j)
			isStream := m.IsStreamingClient() || m.IsStreamingServer()
			methods = append(methods, method{string(m.Name()), string(m.Input().FullName()), string(m.Output().FullName()), isStream})
		}
		found.Services[string(services.Get(i).FullName())] = methods
	}
}

func describe(f protoreflect.FieldDescriptor) field {
	described := field{Name: string(f.Name()), Number: int(f.Number()), Type: typeOf(f), Label: "single", IsSecret: isSecret(f)}
	if f.IsMap() {
		described.Label = "map"
		described.Type = typeOf(f.MapKey()) + " to " + typeOf(f.MapValue())
	} else if f.IsList() {
		described.Label = "list"
	}
	if f.ContainingOneof() != nil {
		described.Oneof = string(f.ContainingOneof().Name())
	}
	return described
}

func typeOf(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return string(f.Message().FullName())
	case protoreflect.EnumKind:
		return string(f.Enum().FullName())
	default:
		return f.Kind().String()
	}
}

func isSecret(f protoreflect.FieldDescriptor) bool {
	options, ok := f.Options().(*descriptorpb.FieldOptions)
	return ok && options != nil && proto.HasExtension(options, csi.E_CsiSecret) && proto.GetExtension(options, csi.E_CsiSecret).(bool)
}
