import Foundation
import JSONText

extension ChatMessage {
    /// Parses a conversation in the form of Hugging Face's pipelines:
    /// `[{"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "…"}]}]`.
    ///
    /// - Throws: `ChatError` naming the message and the key, or line and column if the text is not valid JSON.
    public static func parse(json text: String) throws(ChatError) -> [ChatMessage] {
        try parse(bytes: Array(text.utf8))
    }

    /// The messages of a JSON array.
    public static func parse(json data: Data) throws(ChatError) -> [ChatMessage] { try parse(bytes: Array(data)) }

    private static func parse(bytes: [UInt8]) throws(ChatError) -> [ChatMessage] {
        let conversation: JSONValue
        do {
            conversation = try JSONValue(parsing: bytes)
        } catch {
            throw ChatError(
                .invalidJSON, key: "line \(error.line), column \(error.column)", expected: error.expected,
                found: error.found)
        }
        return try parse(conversation)
    }

    /// - Parameter conversation: an array of messages.
    public static func parse(_ conversation: JSONValue) throws(ChatError) -> [ChatMessage] {
        guard case .array(let values) = conversation else {
            throw ChatError(
                .invalidValue, key: "the conversation", expected: "an array of messages", found: conversation.summary,
                remedy: #"Write [{"role": "user", "content": "…"}]."#)
        }
        var messages: [ChatMessage] = []
        for (index, value) in values.enumerated() {
            messages.append(try ChatMessage(KeyReader(value, message: index, key: "")))
        }
        return messages
    }

    private init(_ reader: KeyReader) throws(ChatError) {
        try reader.expectObject()
        try reader.refuseOthers([
            "role", "content", "images", "reasoning", "reasoning_content", "thinking", "tool_calls", "tool_responses",
            "tool_call_id", "name", "tool_name",
        ])
        let name = try reader.requiredString("role")
        // Google's name of the assistant's role.
        guard let role = name == "model" ? .assistant : Role(rawValue: name) else {
            throw reader.error(.unknownRole, "role", expected: "system, developer, user, assistant or tool")
        }
        self.role = role
        content = try Self.content(reader["content"], role: role)
        try addImages(reader)
        let reasoning = try reader.string("reasoning") ?? ""
        self.reasoning = reasoning.isEmpty ? try reader.string("reasoning_content", "thinking") : reasoning
        for call in try reader.array("tool_calls") { toolCalls.append(try ToolCall(call)) }
        for response in try reader.array("tool_responses") { toolResponses.append(try ToolResponse(response)) }
        toolCallId = try reader.string("tool_call_id")
        self.name = try reader.string("name", "tool_name")
    }

    /// Ollama's form: base64 images beside the text. They are placed before the text.
    private mutating func addImages(_ reader: KeyReader) throws(ChatError) {
        let images = try reader.array("images")
        guard !images.isEmpty else { return }
        var parts: [ContentPart] = []
        for image in images {
            guard case .string(let text) = image.value else { throw image.error(.invalidValue, expected: "a string") }
            // A path contains a dot, which is not a base64 character.
            let isBase64 = !text.contains(".") && !text.hasPrefix("data:")
            parts.append(.image(isBase64 ? "data:;base64,\(text)" : text))
        }
        switch content {
        case .text(let text): content = .parts(parts + (text.isEmpty ? [] : [.text(text)]))
        case .parts(let others): content = .parts(parts + others)
        case nil, .value: content = .parts(parts)
        }
    }

    private static func content(_ reader: KeyReader, role: Role) throws(ChatError) -> Content? {
        switch reader.value {
        case nil: return nil
        case .string(let text): return .text(text)
        case .array:
            var parts: [ContentPart] = []
            for part in try reader.elements() { parts.append(try ContentPart(part)) }
            return .parts(parts)
        case .null?: return .value(.null)
        case .boolean(let value) where role == .tool: return .value(.boolean(value))
        case .integer(let value) where role == .tool: return .value(.integer(value))
        case .number(let value) where role == .tool: return .value(.number(value))
        case .largeInteger(let digits) where role == .tool: return .value(.largeInteger(digits))
        default:
            throw reader.error(
                .invalidValue, expected: "a string or an array of parts",
                remedy: role == .tool ? "Send an object as the text of its JSON." : nil)
        }
    }
}

extension ChatMessage.ToolCall {
    fileprivate init(_ reader: KeyReader) throws(ChatError) {
        try reader.expectObject()
        let function = reader["function"]
        try function.expectObject()
        try reader.refuseOthers(["id", "type", "index", "function"])
        try function.refuseOthers(["name", "arguments", "index"])
        id = try reader.string("id")
        name = try function.requiredString("name")
        arguments = function["arguments"].value ?? .null
        switch arguments {
        case .object, .null: break
        // OpenAI's form: an object serialized as JSON text. Any other text is passed to the template.
        case .string(let text):
            if case .object(let members)? = try? JSONValue(parsing: text) { arguments = .object(members) }
        default: throw function.error(.invalidValue, "arguments", expected: "an object")
        }
    }
}

extension ChatMessage.ToolResponse {
    fileprivate init(_ reader: KeyReader) throws(ChatError) {
        try reader.expectObject()
        try reader.refuseOthers(["name", "response"])
        guard let response = reader["response"].value else {
            throw reader.error(.missingKey, "response", expected: "a value")
        }
        name = try reader.string("name")
        self.response = response
    }
}

extension ContentPart {
    fileprivate init(_ reader: KeyReader) throws(ChatError) {
        try reader.expectObject()
        let kind: Kind
        let type = try reader.requiredString("type")
        switch type {
        case "text": kind = .text(try reader.requiredString("text"))
        case "image": kind = .medium(.image, reference: try reader.reference("image"))
        case "audio": kind = .medium(.audio, reference: try reader.reference("audio"))
        case "video": kind = .medium(.video, reference: try reader.reference("video"))
        case "image_url": kind = .medium(.image, reference: try reader.address("image_url", or: "image"))
        case "input_audio": kind = .medium(.audio, reference: try reader.address("input_audio", or: "audio"))
        default:
            throw reader.error(
                .unknownPartType, "type", expected: "text, image, audio, video, image_url or input_audio")
        }
        let places: Set = ["type", "image", "audio", "video", "url", "path", "base64", "image_url", "input_audio"]
        try reader.refuseOthers(type == "text" ? ["type", "text"] : places)
        if case .medium(let medium, _) = kind {
            // Data under the key of another medium would be dropped.
            for other in Medium.allCases where other != medium {
                try reader.refuseData(other.rawValue)
                if let spelling = other.spelling { try reader.refuseData(spelling) }
            }
        }
        self.init(kind, json: reader.value ?? .null)
    }
}

extension Medium {
    /// The key of a content part in OpenAI's form.
    fileprivate var spelling: String? {
        switch self {
        case .image: "image_url"
        case .audio: "input_audio"
        case .video: nil
        }
    }
}

/// A value and its path, so that every error can name the message and the keys.
struct KeyReader {
    let value: JSONValue?
    /// Nil outside messages.
    let message: Int?
    let key: String

    init(_ value: JSONValue?, message: Int?, key: String) {
        self.value = value
        self.message = message
        self.key = key
    }

    subscript(name: String) -> KeyReader { KeyReader(value?[name], message: message, key: path(name)) }

    func expectObject() throws(ChatError) {
        guard case .object = value else {
            throw error(value == nil ? .missingKey : .invalidValue, expected: "an object")
        }
    }

    /// Refuses data under any other key, because it would be ignored.
    func refuseOthers(_ known: Set<String>) throws(ChatError) {
        guard case .object(let members)? = value else { return }
        for member in members where !known.contains(member.key) { try refuseData(member.key) }
    }

    /// Refuses the value of this key, unless it is null, false or empty.
    func refuseData(_ name: String) throws(ChatError) {
        switch self[name].value {
        case nil, .null?, .boolean(false)?, .string("")?, .array([])?, .object([])?: return
        default: throw error(.unknownKey, name, expected: "no such key", remedy: "It is not read; leave it out.")
        }
    }

    func requiredString(_ name: String) throws(ChatError) -> String {
        guard let text = try string(name) else { throw error(.missingKey, name, expected: "a string") }
        return text
    }

    /// The value of the first of these keys that is present and not null; nil if none is.
    func string(_ names: String...) throws(ChatError) -> String? {
        for name in names {
            switch self[name].value {
            case nil, .null?: continue
            case .string(let text): return text
            default: throw error(.invalidValue, name, expected: "a string")
            }
        }
        return nil
    }

    /// Empty if the key is absent or null.
    func array(_ name: String) throws(ChatError) -> [KeyReader] {
        switch self[name].value {
        case nil, .null?: []
        default: try self[name].elements()
        }
    }

    func elements() throws(ChatError) -> [KeyReader] {
        guard case .array(let values) = value else { throw error(.invalidValue, expected: "an array") }
        return values.enumerated().map { KeyReader($1, message: message, key: "\(key)[\($0)]") }
    }

    /// The reference to the medium of this part, under the keys that Hugging Face's processors look up, in their order.
    func reference(_ name: String) throws(ChatError) -> String? {
        for key in [name, "url", "path"] {
            if let text = try string(key) { return text }
        }
        return try string("base64").map { "data:;base64,\($0)" }
    }

    /// OpenAI's forms, `"…"`, `{"url": "…"}` or `{"data": "…", "format": "wav"}`; otherwise as `reference`.
    func address(_ name: String, or plainName: String) throws(ChatError) -> String? {
        let source = self[name]
        switch source.value {
        case nil, .null?: return try reference(plainName)
        case .string(let text): return text
        case .object:
            try source.refuseOthers(["url", "detail", "data", "format"])
            if let url = try source.string("url") { return url }
            guard let data = try source.string("data") else {
                throw source.error(.missingKey, "url", expected: "a string")
            }
            return "data:audio/\(try source.string("format") ?? "wav");base64,\(data)"
        default: throw source.error(.invalidValue, expected: #"a string or {"url": "…"}"#)
        }
    }

    func error(_ code: ChatError.Code, _ name: String? = nil, expected: String, remedy: String? = nil) -> ChatError {
        let place = name.map { self[$0] } ?? self
        return ChatError(
            code, message: message, key: place.key, expected: expected, found: place.value?.summary ?? "nothing",
            remedy: remedy)
    }

    private func path(_ name: String) -> String { key.isEmpty ? name : "\(key).\(name)" }
}
