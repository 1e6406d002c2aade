import JSONText

/// Renders the declaration of a tool: the keys of its JSON Schema that the format includes, in its order.
///
/// Keys that the format lacks (`format`, `minimum`, `default`, `enum` of numbers) are dropped.
struct ToolDeclaration {
    private let generation: ChatTemplate.Generation
    private let tool: Int
    private let syntax: ToolValueSyntax
    private static let standardKeys: Set = ["description", "type", "properties", "required", "nullable"]

    /// - Parameter tool: index of the tool, for errors.
    init(_ generation: ChatTemplate.Generation, tool: Int) {
        self.generation = generation
        self.tool = tool
        syntax = ToolValueSyntax(generation)
    }

    func write(_ declaration: JSONValue, to prompt: inout RenderedPrompt) throws(ChatError) {
        guard let function = declaration["function"], case .object = function else {
            throw error("", expected: #"{"type": "function", "function": {…}}"#, found: declaration)
        }
        guard let name = function["name"]?.string else {
            throw error("function.name", expected: "a string", found: function["name"])
        }
        prompt.text("declaration:" + name + "{description:")
        prompt.quoted(function["description"]?.pythonText ?? "")
        if let parameters = function["parameters"], parameters.isTrue {
            try writeParameters(parameters, to: &prompt)
        }
        if let response = function["response"] { writeResponse(response, to: &prompt) }
        prompt.text("}")
    }

    private func writeParameters(_ parameters: JSONValue, to prompt: inout RenderedPrompt) throws(ChatError) {
        guard case .object = parameters else {
            throw error("function.parameters", expected: "an object", found: parameters)
        }
        prompt.text(",parameters:{")
        if let properties = parameters["properties"], properties.isTrue {
            prompt.text("properties:{")
            try writeProperties(properties, path: "function.parameters.properties", to: &prompt)
            prompt.text("},")
        }
        if let required = parameters["required"], required.isTrue {
            try writeRequired(required, path: "function.parameters.required", to: &prompt)
            prompt.text(",")
        }
        // The published templates write the closing brace only if there is a type.
        if let type = parameters["type"], type.isTrue {
            writeType(type, to: &prompt)
            prompt.text("}")
        }
    }

    private func writeResponse(_ response: JSONValue, to prompt: inout RenderedPrompt) {
        prompt.text(",response:{")
        if let description = response["description"], description.isTrue {
            prompt.text("description:")
            prompt.quoted(description.pythonText)
            prompt.text(",")
        }
        if isType("OBJECT", response) {
            writeType(response["type"], to: &prompt)
            prompt.text("}")
        }
    }

    // MARK: Properties

    private func writeProperties(
        _ properties: JSONValue, path: String, filtered: Bool = false, to prompt: inout RenderedPrompt
    ) throws(ChatError) {
        guard case .object(let members) = properties else {
            throw error(path, expected: "an object", found: properties)
        }
        // Before late April, properties named like a schema keyword were dropped, at every level.
        let dropsStandardKeys = filtered || generation < .lateApril
        let shown = members.sortedByKey.filter { !dropsStandardKeys || !Self.standardKeys.contains($0.key) }
        try prompt.list(shown) { prompt, member throws(ChatError) in
            prompt.text(member.key + ":{")
            try writeProperty(member.value, path: "\(path).\(member.key)", to: &prompt)
            prompt.text("}")
        }
    }

    private func writeProperty(_ schema: JSONValue, path: String, to prompt: inout RenderedPrompt) throws(ChatError) {
        var fields = FieldSeparator(isRelease: generation == .release)
        if let description = schema["description"], description.isTrue {
            fields.separate(&prompt)
            prompt.text("description:")
            prompt.quoted(description.pythonText)
        }
        let isNullable = schema["nullable"]?.isTrue ?? false
        if isNullable && generation == .release { writeNullable(&fields, to: &prompt) }
        if isType("STRING", schema), let values = schema["enum"], values.isTrue {
            fields.separate(&prompt)
            prompt.text("enum:")
            syntax.write(values, quotesKeys: true, to: &prompt)
        }
        if isType("ARRAY", schema), let items = schema["items"], case .object(let members) = items, items.isTrue {
            fields.separateNested(&prompt)
            prompt.text("items:{")
            try writeItems(members, path: path + ".items", to: &prompt)
            prompt.text("}")
        }
        if isNullable && generation != .release { writeNullable(&fields, to: &prompt) }
        if isType("OBJECT", schema) { try writeObject(schema, path: path, &fields, to: &prompt) }
        fields.separate(&prompt)
        writeType(schema["type"], to: &prompt)
    }

    private func writeNullable(_ fields: inout FieldSeparator, to prompt: inout RenderedPrompt) {
        fields.separate(&prompt)
        prompt.text("nullable:true")
    }

    private func writeObject(
        _ schema: JSONValue, path: String, _ fields: inout FieldSeparator, to prompt: inout RenderedPrompt
    ) throws(ChatError) {
        fields.separateNested(&prompt)
        prompt.text("properties:{")
        if let properties = schema["properties"], case .object = properties {
            try writeProperties(properties, path: path + ".properties", to: &prompt)
        } else {
            // The other keys of an object without properties are rendered as if they were properties.
            try writeProperties(schema, path: path, filtered: true, to: &prompt)
        }
        prompt.text("}")
        if let required = schema["required"], required.isTrue {
            fields.separateNested(&prompt)
            try writeRequired(required, path: path + ".required", to: &prompt)
        }
    }

    private func writeItems(
        _ members: [JSONValue.Member], path: String, to prompt: inout RenderedPrompt
    ) throws(ChatError) {
        try prompt.list(members.sortedByKey.filter { $0.value != .null }) { prompt, member throws(ChatError) in
            let path = "\(path).\(member.key)"
            switch (member.key, member.value) {
            case ("properties", let properties):
                prompt.text("properties:{")
                if case .object = properties { try writeProperties(properties, path: path, to: &prompt) }
                prompt.text("}")
            case ("required", let required): try writeRequired(required, path: path, to: &prompt)
            case ("type", .string(let type)):
                prompt.text("type:")
                prompt.quoted(type.uppercased())
            case ("type", .array(let types)):
                prompt.text("type:")
                let names = types.map { JSONValue.string($0.pythonText.uppercased()) }
                syntax.write(.array(names), quotesKeys: true, to: &prompt)
            case ("type", let type): throw error(path, expected: "a string or an array of strings", found: type)
            default:
                prompt.text(member.key + ":")
                syntax.write(member.value, quotesKeys: true, to: &prompt)
            }
        }
    }

    private func writeRequired(_ names: JSONValue, path: String, to prompt: inout RenderedPrompt) throws(ChatError) {
        guard case .array(let names) = names else { throw error(path, expected: "an array of strings", found: names) }
        prompt.text("required:[")
        prompt.list(names) { prompt, name in prompt.quoted(name.pythonText) }
        prompt.text("]")
    }

    private func writeType(_ type: JSONValue?, to prompt: inout RenderedPrompt) {
        prompt.text("type:")
        prompt.quoted(type?.pythonText.uppercased() ?? "")
    }

    private func isType(_ name: String, _ schema: JSONValue) -> Bool { schema["type"]?.pythonText.uppercased() == name }

    private func error(_ path: String, expected: String, found: JSONValue?) -> ChatError {
        ChatError(
            .invalidTool, key: path.isEmpty ? "tools[\(tool)]" : "tools[\(tool)].\(path)", expected: expected,
            found: found?.summary ?? "nothing")
    }
}

/// The comma between the fields of a property.
private struct FieldSeparator {
    let isRelease: Bool
    private var hasFields = false

    init(isRelease: Bool) { self.isRelease = isRelease }

    mutating func separate(_ prompt: inout RenderedPrompt) {
        if hasFields { prompt.text(",") }
        hasFields = true
    }

    /// Before `properties`, `required` and `items`. The release always wrote a comma there, and did not count the
    /// field.
    mutating func separateNested(_ prompt: inout RenderedPrompt) {
        if isRelease { prompt.text(",") } else { separate(&prompt) }
    }
}
