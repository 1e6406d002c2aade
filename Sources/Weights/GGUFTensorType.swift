import Tensors

/// The tensor type numbers of GGUF.
///
/// Source: github.com/ggml-org/ggml, `include/ggml.h`, `enum ggml_type`.
enum GGUFTensorType {
    /// The element type of a number; nil for types that are not supported.
    static func elementType(_ number: UInt32) -> ElementType? { elementTypes.first { $0.number == number }?.type }

    /// The number of an element type.
    static func number(_ type: ElementType) -> UInt32 { elementTypes.first { $0.type == type }!.number }

    private static let elementTypes: [(number: UInt32, type: ElementType)] = [
        (0, .float32), (1, .float16), (30, .bfloat16), (8, .q8_0), (2, .q4_0), (3, .q4_1), (6, .q5_0), (7, .q5_1),
        (10, .q2_K), (11, .q3_K), (12, .q4_K), (13, .q5_K), (14, .q6_K), (20, .iq4_nl), (23, .iq4_xs),
        (16, .iq2_xxs), (17, .iq2_xs), (22, .iq2_s), (18, .iq3_xxs), (21, .iq3_s), (39, .mxfp4),
    ]

    /// llama.cpp's names of the supported types.
    private static var supported: [String] { elementTypes.map { name($0.number) } }

    /// llama.cpp's name of the type with that number.
    static func name(_ number: UInt32) -> String { names[number] ?? "type \(number)" }

    /// The remedy for a tensor of an unsupported type.
    static func remedy(_ number: UInt32) -> String {
        let others = supported.joined(separator: ", ")
        return switch names[number] {
        case let name? where name.hasPrefix("IQ1"): "Get a file of the same model in IQ2_XXS or more bits (\(others))."
        case let name? where name.hasPrefix("TQ") || name == "Q1_0":
            "The type is for models that were trained in it, which none of this family was. Get one of \(others)."
        case "NVFP4": "Get the file in MXFP4, Q4_0 or Q4_K_M, which are as large, or another of \(others)."
        case nil: "The type is of a fork of llama.cpp, or newer than this program. Get the model in one of \(others)."
        default: "Get the model in another type: \(others)."
        }
    }

    private static let names: [UInt32: String] = [
        0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
        12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
        20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
        29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
    ]
}
