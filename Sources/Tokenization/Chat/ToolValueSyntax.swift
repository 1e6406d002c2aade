import JSONText

/// Renders values in calls, responses and declarations. Not JSON: strings are enclosed in `<|"|>` tokens without
/// escapes, members are sorted, keys are bare or enclosed in the same tokens.
struct ToolValueSyntax {
    private let null: String

    init(_ generation: ChatTemplate.Generation) { null = generation == .july ? "null" : "None" }

    func write(_ value: JSONValue, quotesKeys: Bool, to prompt: inout RenderedPrompt) {
        switch value {
        case .null: prompt.text(null)
        case .boolean(let value): prompt.text(value ? "true" : "false")
        case .integer, .largeInteger, .number: prompt.text(value.pythonText)
        case .string(let text): prompt.quoted(text)
        case .array(let values):
            prompt.text("[")
            prompt.list(values) { prompt, value in write(value, quotesKeys: quotesKeys, to: &prompt) }
            prompt.text("]")
        case .object(let members):
            prompt.text("{")
            write(members, quotesKeys: quotesKeys, to: &prompt)
            prompt.text("}")
        }
    }

    /// `key:value,key:value`
    func write(_ members: [JSONValue.Member], quotesKeys: Bool, to prompt: inout RenderedPrompt) {
        prompt.list(members.sortedByKey) { prompt, member in
            if quotesKeys { prompt.quoted(member.key) } else { prompt.text(member.key) }
            prompt.text(":")
            write(member.value, quotesKeys: quotesKeys, to: &prompt)
        }
    }
}
