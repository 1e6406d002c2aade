import Foundation
import JSONText
import Testing

@testable import Grammar

/// Every instance of the official JSON-Schema-Test-Suite, and of our own schemas judged by `jsonschema`: accepted, in
/// at least one order of its members, exactly if it is valid.
struct SchemaSuiteTests {
    /// The number of schemas refused because they cannot be enforced. `$ref`: to other documents; `format`: a regular
    /// expression; `uniqueItems`: arrays and objects as items; `multipleOf`: 0.123456789.
    private static let refused = [
        "suite": [
            "unevaluatedProperties": 44, "unevaluatedItems": 27, "$ref": 21, "$dynamicRef": 14, "uniqueItems": 3,
            "$schema": 2, "format": 1, "multipleOf": 1,
        ], "judged": [:],
    ]
    /// Valid texts of formats that are never generated: leap seconds, long labels, quoted and other rare addresses.
    private static let leftOut = ["suite": 16, "judged": 0]

    @Test(arguments: ["suite", "judged"])
    func acceptsExactlyWhatIsValid(name: String) throws {
        var refused: [String: Int] = [:]
        var (checked, leftOut) = (0, 0)
        // In format.json, formats assert nothing; here they do, as with the vocabulary format-assertion.
        for group in try JudgedSchema.read(name) where group.file != "format.json" {
            let place = "\(group.file): \(group.description)"
            let grammar: Grammar
            do { grammar = try Grammar(schema: group.schema) } catch {
                if error.code == .unsatisfiable {
                    #expect(group.instances.allSatisfy { !$0.isValid }, "\(place): \(error)")
                    checked += group.instances.count
                } else {
                    refused[String(error.place.split(separator: "/").last ?? ""), default: 0] += 1
                }
                continue
            }
            for (description, value, isValid) in group.instances {
                // Formats omit rarities, but never accept invalid texts.
                let isAccepted = value.spellings().contains(where: grammar.accepts)
                if group.file.hasPrefix("optional/format"), isValid, !isAccepted {
                    leftOut += 1
                    continue
                }
                checked += 1
                #expect(isAccepted == isValid, "\(place): \(description): \(value.json)")
            }
        }
        #expect(refused == Self.refused[name])
        #expect(leftOut == Self.leftOut[name])
        #expect(checked >= (name == "suite" ? 1100 : 3258))
    }
}
