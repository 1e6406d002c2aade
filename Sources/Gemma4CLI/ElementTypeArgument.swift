import ArgumentParser
import Gemma4Kit

/// Element types by the names that users of GGUF know: q4_k, f16.
extension ElementType: ExpressibleByArgument {
    var argument: String {
        switch self {
        case .float32: "f32"
        case .bfloat16: "bf16"
        case .float16: "f16"
        default: "\(self)".lowercased()
        }
    }

    public init?(argument: String) {
        guard let type = Self.allCases.first(where: { $0.argument == argument.lowercased() }) else { return nil }
        self = type
    }

    /// None, or help would list all at every option.
    public static var allValueStrings: [String] { [] }
    public var defaultValueDescription: String { argument }

    static func list(_ types: [Self]) -> String { types.map(\.argument).joined(separator: ", ") }

    /// - Parameter reason: why only some types will do.
    func validate(_ option: String, among types: [ElementType], _ reason: String = "") throws {
        guard !types.contains(self) else { return }
        throw ValidationError("\(option): expected \(Self.list(types)), found \(argument)\(reason)")
    }
}
