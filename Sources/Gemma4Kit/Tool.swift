import Foundation
import JSONText
import Tokenization

/// A function that the model may call, with arguments of a type you define.
///
/// Pass tools to `Gemma4Pipeline.conversation`: whenever the model calls one, the conversation runs it, returns the
/// result to the model and lets it continue.
public protocol Tool: Sendable {
    /// The arguments that the model generates: an object with the members that `parameters` lists.
    associatedtype Arguments: Codable & Sendable
    /// The result that the model receives: a string as it is, anything else as JSON.
    associatedtype Output: Encodable & Sendable

    /// The name by which the model calls it.
    var name: String { get }
    /// The purpose of the tool, by which the model decides whether to call it.
    var description: String { get }
    /// The members of `Arguments`. The model's output is constrained to them token by token.
    @ToolParameterBuilder var parameters: [ToolParameter] { get }

    /// Runs the tool. Calls of one answer run concurrently.
    ///
    /// - Throws: any error; the model receives it instead of a result. Only `CancellationError` ends the turn.
    func call(_ arguments: Arguments) async throws -> Output
}

/// One argument of a tool.
public struct ToolParameter: Sendable {
    let name: String
    let schema: JSONValue
    let isRequired: Bool

    /// - Parameters:
    ///   - name: the key under which `Arguments` decode it.
    ///   - description: its meaning, for the model.
    ///   - isOptional: whether it may be omitted.
    public init(_ name: String, _ type: ToolValueType, _ description: String = "", isOptional: Bool = false) {
        self.name = name
        isRequired = !isOptional
        var members = [JSONValue.Member]()
        if case .object(let keywords) = type.schema { members = keywords }
        if !description.isEmpty { members.insert(.init("description", .string(description)), at: 0) }
        schema = .object(members)
    }

    /// The schema of an object with these members.
    static func object(_ parameters: [ToolParameter]) -> JSONValue {
        var members: [JSONValue.Member] = [.init("type", "object")]
        members.append(.init("properties", .object(parameters.map { .init($0.name, $0.schema) })))
        // Without this, an object that declares no members would allow any.
        if parameters.isEmpty { members.append(.init("additionalProperties", false)) }
        let required = parameters.filter(\.isRequired)
        if !required.isEmpty { members.append(.init("required", .array(required.map { .string($0.name) }))) }
        return .object(members)
    }
}

/// The type of a tool's argument.
public struct ToolValueType: Sendable {
    let schema: JSONValue

    /// A type defined by a JSON Schema (2020-12).
    public init(schema: JSONValue) { self.schema = schema }

    /// Text.
    public static let string = ToolValueType(schema: ["type": "string"])
    /// True or false.
    public static let boolean = ToolValueType(schema: ["type": "boolean"])
    /// A whole number.
    public static let integer = ToolValueType(schema: ["type": "integer"])
    /// A number.
    public static let number = ToolValueType(schema: ["type": "number"])

    /// One of several strings, for example the raw values of an enumeration.
    public static func string(oneOf texts: [String]) -> ToolValueType {
        ToolValueType(schema: ["type": "string", "enum": .array(texts.map(JSONValue.string))])
    }

    /// A whole number within bounds.
    public static func integer(in range: ClosedRange<Int>) -> ToolValueType {
        ToolValueType(
            schema: [
                "type": "integer", "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound),
            ])
    }

    /// A number within bounds.
    public static func number(in range: ClosedRange<Double>) -> ToolValueType {
        ToolValueType(
            schema: ["type": "number", "minimum": .number(range.lowerBound), "maximum": .number(range.upperBound)])
    }

    /// A list of values of one type.
    public static func array(of element: ToolValueType) -> ToolValueType {
        ToolValueType(schema: ["type": "array", "items": element.schema])
    }

    /// An object with the members that are listed.
    public static func object(@ToolParameterBuilder _ members: () -> [ToolParameter]) -> ToolValueType {
        ToolValueType(schema: ToolParameter.object(members()))
    }
}

/// A result builder for lists of parameters.
@resultBuilder
public enum ToolParameterBuilder {
    /// One parameter.
    public static func buildExpression(_ parameter: ToolParameter) -> [ToolParameter] { [parameter] }
    /// Parameters one after the other.
    public static func buildBlock(_ parts: [ToolParameter]...) -> [ToolParameter] { parts.flatMap(\.self) }
    /// The parameters of an `if` without `else`.
    public static func buildOptional(_ part: [ToolParameter]?) -> [ToolParameter] { part ?? [] }
    /// The parameters of the branch of an `if`.
    public static func buildEither(first part: [ToolParameter]) -> [ToolParameter] { part }
    /// The parameters of the branch of an `else`.
    public static func buildEither(second part: [ToolParameter]) -> [ToolParameter] { part }
    /// The parameters of a loop.
    public static func buildArray(_ parts: [[ToolParameter]]) -> [ToolParameter] { parts.flatMap(\.self) }
}

extension Tool {
    /// The declaration for the prompt, in OpenAI's format.
    public var declaration: JSONValue {
        [
            "type": "function",
            "function": [
                "name": .string(name), "description": .string(description),
                "parameters": ToolParameter.object(parameters),
            ],
        ]
    }

    /// Runs the tool with the arguments that the model generated.
    ///
    /// - Returns: the result as the content of a message, or the error.
    /// - Throws: `CancellationError` alone.
    func result(of arguments: JSONValue) async throws -> ChatMessage.Content {
        do {
            let arguments = try JSONDecoder().decode(
                Arguments.self, from: Data((arguments == .null ? .object([]) : arguments).json.utf8))
            return try content(try await call(arguments))
        } catch let error as CancellationError {
            throw error
        } catch {
            return .text("error: \(error)")
        }
    }

    private func content(_ output: Output) throws -> ChatMessage.Content {
        if let text = output as? String { return .text(text) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let value = try JSONValue(parsing: Array(encoder.encode(output)))
        return switch value {
        case .string(let text): .text(text)
        case .array, .object: .text(value.json)
        default: .value(value)
        }
    }
}

extension [any Tool] {
    /// Runs all calls of an answer concurrently.
    ///
    /// - Returns: one message per call, in order.
    /// - Throws: `CancellationError` alone.
    func results(of calls: [ChatMessage.ToolCall]) async throws -> [ChatMessage] {
        try await withThrowingTaskGroup(of: (Int, ChatMessage).self) { group in
            for (index, call) in calls.enumerated() {
                group.addTask {
                    var message = ChatMessage(.tool)
                    (message.toolCallId, message.name) = (call.id, call.name)
                    if let tool = first(where: { $0.name == call.name }) {
                        message.content = try await tool.result(of: call.arguments)
                    } else {
                        let names = map(\.name).joined(separator: ", ")
                        message.content = .text("error: no tool \(call.name); there are: \(names)")
                    }
                    return (index, message)
                }
            }
            var messages: [(Int, ChatMessage)] = []
            for try await message in group { messages.append(message) }
            return messages.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}
