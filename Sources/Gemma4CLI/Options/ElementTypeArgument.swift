import ArgumentParser
import Gemma4Kit
import Tensors

extension ElementType {
    /// Its GGUF name, for example q4_k or f16.
    var argument: String {
        switch self {
        case .float32: "f32"
        case .bfloat16: "bf16"
        case .float16: "f16"
        default: "\(self)".lowercased()
        }
    }

    static func list(_ types: [Self]) -> String { types.map(\.argument).joined(separator: ", ") }

    /// The type with the name of an argument.
    ///
    /// - Throws: `ValidationError` listing `types`, if none has this name.
    init(_ argument: String, among types: [Self] = [.float32, .bfloat16, .float16] + BlockQuantizer.types) throws {
        guard let type = types.first(where: { $0.argument == argument.lowercased() }) else {
            throw ValidationError("expected \(Self.list(types))")
        }
        self = type
    }
}

extension KeyValueType {
    /// Its name as the argument of --kv-cache.
    var argument: String {
        switch self {
        case .float32: "f32"
        case .float16: "f16"
        default: "\(self)"
        }
    }

    static let list = allCases.map(\.argument).joined(separator: ", ")

    /// - Throws: `ValidationError` listing all types, if none has this name.
    init(argument: String) throws {
        guard let type = Self.allCases.first(where: { $0.argument == argument.lowercased() }) else {
            throw ValidationError("expected \(Self.list)")
        }
        self = type
    }
}
