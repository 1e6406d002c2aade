extension String {
    /// Text that is safe to print to a terminal: each byte of a control character, including line breaks and tabs, is
    /// escaped as `\x1B`.
    package var displayed: String { displayed { _ in false } }

    /// Escapes all control characters except line breaks and tabs, for messages of several lines.
    package var displayedLines: String { displayed { $0 == "\n" || $0 == "\t" } }

    private func displayed(except isKept: (Unicode.Scalar) -> Bool) -> String {
        func isControl(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.generalCategory == .control && !isKept(scalar)
        }
        guard unicodeScalars.contains(where: isControl) else { return self }
        return unicodeScalars.reduce(into: "") { text, scalar in
            guard isControl(scalar) else { return text.unicodeScalars.append(scalar) }
            for byte in UTF8.encode(scalar)! {
                text += (byte < 0x10 ? "\\x0" : "\\x") + String(byte, radix: 16, uppercase: true)
            }
        }
    }
}
