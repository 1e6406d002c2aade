import JSONText

/// Coded in the form that `parse` accepts. Coders do not keep the order of keys, so decoded arguments have sorted keys.
extension ChatMessage: Codable {
    /// Decodes a message as `parse(json:)` reads it.
    public init(from decoder: any Decoder) throws {
        self = try ChatMessage.parse(.array([try JSONValue(from: decoder)]))[0]
    }

    /// Encodes the message as `parse(json:)` reads it.
    public func encode(to encoder: any Encoder) throws { try json.encode(to: encoder) }

    /// The message in the form that `parse` accepts.
    public var json: JSONValue {
        var members = [JSONValue.Member("role", .string(role.rawValue))]
        func add(_ name: String, _ value: JSONValue?) { if let value { members.append(.init(name, value)) } }
        switch content {
        case .text(let text): add("content", .string(text))
        case .parts(let parts): add("content", .array(parts.map(\.json)))
        case .value(let value): add("content", value)
        case nil: break
        }
        add("reasoning", reasoning.map(JSONValue.string))
        if !toolCalls.isEmpty { add("tool_calls", .array(toolCalls.map(\.json))) }
        if !toolResponses.isEmpty { add("tool_responses", .array(toolResponses.map(\.json))) }
        add("tool_call_id", toolCallId.map(JSONValue.string))
        add("name", name.map(JSONValue.string))
        return .object(members)
    }
}

extension ChatMessage.ToolCall {
    fileprivate var json: JSONValue {
        let id = id.map { [JSONValue.Member("id", .string($0))] } ?? []
        return .object(
            id + [
                .init("type", "function"), .init("function", ["name": .string(name), "arguments": arguments]),
            ])
    }
}

extension ChatMessage.ToolResponse {
    fileprivate var json: JSONValue {
        .object((name.map { [JSONValue.Member("name", .string($0))] } ?? []) + [.init("response", response)])
    }
}
