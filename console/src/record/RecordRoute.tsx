export default function Stub() { return <h1>Soon</h1> }
