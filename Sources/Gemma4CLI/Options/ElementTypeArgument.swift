import ArgumentParser
import Gemma4Kit
import Tensors

extension ElementType {
    /// Its name as users of GGUF know it: q4_k, f16.
    var argument: String {
        switch self {
        case .float32: "f32"
        case .bfloat16: "bf16"
        case .float16: "f16"
        default: "\(self)".lowercased()
        }
    }

    static func list(_ types: [Self]) -> String { types.map(\.argument).joined(separator: ", ") }

    /// The type that an option names.
    ///
    /// - Throws: `ValidationError` listing `types`, if it is none of them.
    init(_ argument: String, among types: [Self] = [.float32, .bfloat16, .float16] + BlockQuantizer.types) throws {
        guard let type = types.first(where: { $0.argument == argument.lowercased() }) else {
            throw ValidationError("expected \(Self.list(types))")
        }
        self = type
    }
}

extension KeyValueType {
    /// Its name as --kv-cache takes it.
    var argument: String {
        switch self {
        case .float32: "f32"
        case .float16: "f16"
        default: "\(self)"
        }
    }

    static let list = allCases.map(\.argument).joined(separator: ", ")

    /// - Throws: `ValidationError` listing all types, if it is none of them.
    init(argument: String) throws {
        guard let type = Self.allCases.first(where: { $0.argument == argument.lowercased() }) else {
            throw ValidationError("expected \(Self.list)")
        }
        self = type
    }
}
