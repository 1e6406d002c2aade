import JSONText

extension Grammar {
    /// One tool call in the published chat format, between `<|tool_call>` and `<tool_call|>`, including the latter:
    /// `call:name{key:value,…}`. Keys are sorted; control tokens are bytes of `ControlByte`.
    ///
    /// - Parameter tools: names with the JSON Schema of their arguments. Objects that declare members have no others,
    ///   unless the schema mentions others.
    /// - Throws: `GrammarError`; its subject is the tool, its place the JSON pointer of the keyword.
    package init(calling tools: [(name: String, parameters: JSONValue)]) throws(GrammarError) {
        self.init(
            try CompilationEffort.limit { () throws(GrammarError) in try Self.network(calling: tools) })
    }

    private static func network(
        calling tools: [(name: String, parameters: JSONValue)]
    ) throws(GrammarError) -> Network {
        // Each schema is a separate resource: its references are resolved within it.
        let resources = tools.enumerated().map { index, tool in
            var parameters = tool.parameters
            if case .object(let members) = parameters, tool.parameters["$id"] == nil {
                parameters = .object(members + [.init("$id", .string("https://schema.invalid/tools/\(index)"))])
            }
            return JSONValue.Member("\(index)", parameters)
        }
        let document = SchemaDocument(["$defs": .object(resources)])
        var compiler = SchemaCompiler(document, .call)
        let start = compiler.builder.node()
        let end = compiler.builder.node(returns: true)
        let named = compiler.builder.text(start, Array("call:".utf8))
        for (index, tool) in tools.enumerated() {
            do {
                let arguments = try compiler.rule(
                    .conjunction([.keyword(.types([.object])), .schema(document.index("/$defs/\(index)")!)]))
                try compiler.fillPending()
                let after = compiler.builder.node()
                let afterName = compiler.builder.text(named, Array(tool.name.utf8))
                compiler.builder.call(afterName, arguments, to: after)
                compiler.builder.edge(after, ControlByte.callEnd...ControlByte.callEnd, to: end)
            } catch {
                let prefix = "/$defs/\(index)"
                let place = error.place.hasPrefix(prefix) ? String(error.place.dropFirst(prefix.count)) : error.place
                throw GrammarError(
                    error.code, "tool \(tool.name)", place: place.isEmpty ? "the root" : place,
                    expected: error.expected, found: error.found, remedy: error.remedy)
            }
        }
        guard let network = compiler.builder.network(start: start) else {
            throw GrammarError(
                .unsatisfiable, "tools", place: "all", expected: "some call that obeys", found: "none")
        }
        return network
    }
}
