import { Link } from '@tanstack/react-router'
import { Empty } from '../ui/states'

export function Lost() {
  return (
    <Empty
      page
      title="This page does not exist"
      text="The address has a slip, or the page was moved. Press Ctrl K to search."
      action={
        <Link to="/" className="btn">
          Go to Now
        </Link>
      }
    />
  )
}
