import Foundation
import TestSupport
import Testing

/// Every code block of the documentation is in a package that links the library, and so is compiled.
@Test func theCodeOfTheDocumentationIsCompiled() throws {
    let root = Goldens.folder.deletingLastPathComponent().deletingLastPathComponent()
    func lines(_ text: String) -> [String] {
        text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }
    let consumer = lines(
        try String(
            contentsOf: root.appending(path: "Tests/Consumer/Sources/consumer/Documentation.swift"), encoding: .utf8))
    let catalog = root.appending(path: "Sources/Gemma4Kit/Gemma4Kit.docc")
    var blocks = 0
    for file in try FileManager.default.contentsOfDirectory(at: catalog, includingPropertiesForKeys: nil)
    where file.pathExtension == "md" {
        let parts = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "```swift\n").dropFirst()
        for part in parts {
            let code = lines(part.components(separatedBy: "```")[0])
            let isCompiled = consumer.indices.contains { consumer[$0...].starts(with: code) }
            #expect(isCompiled, "\(file.lastPathComponent): \(code.first ?? "")")
            blocks += 1
        }
    }
    #expect(blocks >= 12)
}

/// Every file that the map of the sources names is there.
@Test func theMapNamesFilesThatExist() throws {
    let folder = Goldens.folder.deletingLastPathComponent().deletingLastPathComponent().appending(path: "Sources")
    let map = try String(contentsOf: folder.appending(path: "README.md"), encoding: .utf8)
    let names = map.matches(of: /`([\w.\/-]+\/[\w.-]+\.(?:swift|c|h|md))`/).map { String($0.output.1) }
    let missing = names.filter { !FileManager.default.fileExists(atPath: folder.appending(path: $0).path) }
    #expect(missing.isEmpty)
    #expect(Set(names).count >= 80)
}
