import JSONText

/// One message of a conversation.
public struct ChatMessage: Sendable, Hashable {
    /// Who a message is from.
    public enum Role: String, Sendable, CaseIterable {
        case system, developer, user, assistant, tool
    }

    /// What a message holds.
    public enum Content: Sendable, Hashable {
        case text(String)
        case parts([ContentPart])
        /// Null, a number or a Boolean: only as the answer of a tool.
        case value(JSONValue)
    }

    /// A function call requested by the assistant.
    public struct ToolCall: Sendable, Hashable {
        /// Which call it is, for the message that answers it.
        public var id: String?
        /// The function's name.
        public var name: String
        /// An object, or null for none; the template generations before July also accept a string and render it
        /// verbatim.
        public var arguments: JSONValue

        /// A call of a function.
        public init(id: String? = nil, name: String, arguments: JSONValue) {
            self.id = id
            self.name = name
            self.arguments = arguments
        }
    }

    /// The result of a function, stored in the message that called it.
    public struct ToolResponse: Sendable, Hashable {
        /// The function's name; nil if the caller did not say.
        public var name: String?
        /// What it answered.
        public var response: JSONValue

        /// What a function answered.
        public init(name: String?, response: JSONValue) {
            self.name = name
            self.response = response
        }
    }

    /// Who the message is from.
    public var role: Role
    /// Nil if the message has none.
    public var content: Content?
    /// The assistant's thoughts before this message.
    public var reasoning: String?
    /// The functions that the assistant calls.
    public var toolCalls: [ToolCall] = []
    /// Their answers, if they are in the same message.
    public var toolResponses: [ToolResponse] = []
    /// For a tool message: the id of the call that it answers.
    public var toolCallId: String?
    /// For a tool message: the tool's name, used if no call matches `toolCallId`.
    public var name: String?

    /// A message with any content.
    public init(_ role: Role, _ content: Content? = nil) {
        self.role = role
        self.content = content
    }

    /// A message of text.
    public init(_ role: Role, _ text: String) { self.init(role, .text(text)) }

    /// A message of text and media.
    public init(_ role: Role, parts: [ContentPart]) { self.init(role, .parts(parts)) }
}

extension ChatMessage {
    /// Whether this is an assistant message with text that can be continued.
    public var canBeContinued: Bool {
        guard role == .assistant else { return false }
        switch content {
        case .text: return true
        case .parts(let parts): return parts.contains { if case .text = $0.kind { true } else { false } }
        case nil, .value: return false
        }
    }

    /// Appends a scalar to its last text.
    func marked(_ mark: Unicode.Scalar) -> ChatMessage {
        var message = self
        switch content {
        case .text(let text): message.content = .text(text + String(mark))
        case .parts(var parts):
            for index in parts.indices.reversed() {
                guard case .text(let text) = parts[index].kind else { continue }
                parts[index] = .text(text + String(mark))
                break
            }
            message.content = .parts(parts)
        case nil, .value: break
        }
        return message
    }
}

/// The kind of medium that a placeholder in a prompt represents.
public enum Medium: String, Sendable, CaseIterable {
    case image, audio, video
}

/// A part of a message's content: text, an image, a recording or a video.
public struct ContentPart: Sendable, Hashable {
    /// Text or a medium.
    public enum Kind: Sendable, Hashable {
        case text(String)
        /// `reference`: a path, a URL or a `data:` URL; nil if the caller supplies the medium separately.
        case medium(Medium, reference: String?)
    }

    /// Text or a medium.
    public let kind: Kind
    /// The part as given, with its key order: the template generations before late April print it in a system message.
    let json: JSONValue

    init(_ kind: Kind, json: JSONValue) {
        self.kind = kind
        self.json = json
    }

    /// A piece of text.
    public static func text(_ text: String) -> ContentPart {
        ContentPart(.text(text), json: ["type": "text", "text": .string(text)])
    }

    /// A picture.
    public static func image(_ reference: String? = nil) -> ContentPart { medium(.image, reference) }
    /// A recording.
    public static func audio(_ reference: String? = nil) -> ContentPart { medium(.audio, reference) }
    /// A film.
    public static func video(_ reference: String? = nil) -> ContentPart { medium(.video, reference) }

    private static func medium(_ medium: Medium, _ reference: String?) -> ContentPart {
        let type = JSONValue.Member("type", .string(medium.rawValue))
        let source = reference.map { JSONValue.Member(medium.rawValue, .string($0)) }
        return ContentPart(.medium(medium, reference: reference), json: .object([type] + (source.map { [$0] } ?? [])))
    }

    /// `image`, or `image_url` in OpenAI's form.
    var type: String { json["type"]?.string ?? "" }
}
