/// The published chat templates, identified by the hash of their text without comments, indentation and blank lines.
///
/// Source: `chat_template.jinja` of Google's repositories. SHA-256 of the files themselves: late April, small
/// 33204f1acb5bd0002713e16a593847f24ceeafe711ed88bda2a352dc996a3373, large
/// 94899c0f917d93f6fe81c95744d1e8ddab2d21d39228d2e4aec1fb2a25bff413; July, small
/// 0a2c8073c878ab1da004bee933a998606537bbb62016310352c7285c3f01c5b5, large
/// ae53464bf3be25802b3a5b37def7fd89667067d7577049b3b2d74c4d8de4c6d4.
enum PublishedTemplate {
    /// The format of this template; nil if it is not a published one.
    static func format(_ source: String) -> ChatTemplate? { formats[SHA256.hex(normalized(source))] }

    /// The text without comments, white space around lines, and empty lines: in the published templates none of it is
    /// rendered, and editors and converters change it.
    static func normalized(_ source: String) -> [UInt8] {
        var rest = Array(source.utf8)[...]
        var code: [UInt8] = []
        while let start = rest.firstIndex(of: "{#"), let end = rest[(start + 2)...].firstIndex(of: "#}") {
            code += rest[..<start]
            rest = rest[(end + 2)...]
        }
        code += rest
        return code.split(separator: UInt8(ascii: "\n")).map { $0.trimmed }.filter { !$0.isEmpty }.flatMap {
            $0 + [UInt8(ascii: "\n")]
        }
    }

    /// By the hash of the normalized text.
    private static let formats: [String: ChatTemplate] = [
        "d31c5b940cfb89e47cd89926d950f77dc8e3d28a2061b84072323fd8be8a5e99":
            ChatTemplate(.release, appendsEmptyThought: false),
        "d43f4cb1e693e5347c40189fa58ed78eb2bca71f63377727c868200868dedead":
            ChatTemplate(.release, appendsEmptyThought: true),
        "38a413fbf0f0d77a9d18f671da88944af46b0d01337459dcd93bbfbc61bd83b4":
            ChatTemplate(.midApril, appendsEmptyThought: false),
        "ebca95f572d160a5b05a7c2cb96c8173bd3d8d7bf9909f652e08ad0dd4dbf8c6":
            ChatTemplate(.midApril, appendsEmptyThought: true),
        "0f33b0152cabef86127b2fac05dc6610d679314ea3bd09f912eaf206e1c6bc55":
            ChatTemplate(.lateApril, appendsEmptyThought: false),
        "ea688ffb0a4d7aeb7bbbddc97962b37777799015d18747ada98c64d61797d4ff":
            ChatTemplate(.lateApril, appendsEmptyThought: true),
        "5abac106054abfa7f39b083aa8f92a92a0282aacb47e1db64031d3efd527b66f":
            ChatTemplate(.july, appendsEmptyThought: false),
        "6e99340ef270df41c537ffeff7a204844ff71286fdc82a65ee4ecfb982d77c00":
            ChatTemplate(.july, appendsEmptyThought: true),
        // July, in copies with a shortened message about arguments that are not an object.
        "d6d1eee1c88b230dda7c75caa361383ef5817ef0e4039cdafa5514dbd1ab4fc6":
            ChatTemplate(.july, appendsEmptyThought: false),
        "b024f9d382814de7d7464234578f507a4228a1f32ed266835789c08a06631d03":
            ChatTemplate(.july, appendsEmptyThought: true),
    ]
}

extension ArraySlice<UInt8> {
    /// The index of two adjacent bytes.
    fileprivate func firstIndex(of pair: StaticString) -> Int? {
        let (first, second) = (pair.utf8Start[0], pair.utf8Start[1])
        return indices.dropLast().first { self[$0] == first && self[$0 + 1] == second }
    }

    /// Without spaces, tabs and carriage returns at both ends.
    fileprivate var trimmed: ArraySlice<UInt8> {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
        let start = drop(while: isSpace)
        return start[..<((start.lastIndex { !isSpace($0) } ?? start.startIndex - 1) + 1)]
    }
}
